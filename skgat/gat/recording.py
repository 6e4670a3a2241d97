"""A step of training as one launch: on a GPU, what a small graph's step does is recorded once and played again.

Such a step is some hundred operations of a few microseconds each, and to ask a GPU for each of them takes longer than
to carry them out. A CUDA graph asks for all of them at once. It reads and writes the memory that the recorded step
read and wrote; what changes from step to step has to be in that memory, or to be drawn from the registered stream.
"""

__all__ = ["Recorder", "Steps", "make_recorder"]

import warnings

import torch

from .edges import DenseEdges
from .runtime import make_generator

#: So many steps are taken as they are before one is recorded.
_WARM_UP = 3
#: The gradient of a recorded step may be this far from that of the step itself, as a share of it.
_SAME = 1e-3


def make_recorder(device, edges, config):
    """A recorder where it pays: for a table of edges on a CUDA device. Else None."""
    # Lists of visible edges have a length of their own in every step, and are long enough to be worth their launches;
    # the layers of torch_geometric, of which the network of the paper is made, read back where loops are.
    pays = device.type == "cuda" and isinstance(edges, DenseEdges) and config["conv"] != "gatconv"
    return Recorder(device) if pays and hasattr(torch.cuda.CUDAGraph, "register_generator_state") else None


class Recorder:
    """Records on a CUDA device.

    Parameters
    ----------
    device : torch.device
    """

    def __init__(self, device):
        self.device = device
        self._stream = torch.cuda.Stream(device)

    def warm_up(self, step):
        """Take a step as it is, on a stream of its own: what libraries set up at their first use is not recorded."""
        here = torch.cuda.current_stream(self.device)
        self._stream.wait_stream(here)
        with torch.cuda.stream(self._stream):
            result = step()
        here.wait_stream(self._stream)
        return result

    def record(self, step, generator):
        """A function that does what the step does, without asking for each operation.

        Parameters
        ----------
        step : callable
            Reads nothing back from the device. It is not carried out now.
        generator : torch.Generator
            Draws anew each time.

        Returns
        -------
        callable
            Returns what the step returned: the same tensors each time, with new values.
        """
        graph = torch.cuda.CUDAGraph()
        graph.register_generator_state(generator)
        # Fits in other threads may ask for memory meanwhile.
        with torch.cuda.device(self.device), torch.cuda.graph(graph, capture_error_mode="thread_local"):
            result = step()

        def play():
            graph.replay()
            return result

        return play


class Steps:
    """The steps of a trainer: some as they are, then as one of them was recorded.

    Parameters
    ----------
    trainer : Trainer
    recorder : Recorder
    """

    def __init__(self, trainer, recorder):
        self._trainer, self._recorder, self._play, self._taken = trainer, recorder, None, 0
        # A recorded step reads it where it lies.
        self._rate = torch.zeros((), dtype=torch.float32, device=trainer.device)

    def take(self, rate):
        """Take a step of this size; returns the loss of each member."""
        if self._recorder is None:
            return self._trainer.advance(rate)
        self._rate.fill_(rate)
        self._taken += 1
        if self._taken <= _WARM_UP:
            return self._recorder.warm_up(self._step)
        if self._play is None and not self._record():
            return self._trainer.advance(rate)
        return self._play()

    def _step(self):
        return self._trainer.advance(self._rate)

    def _record(self):
        """Record a step, and see whether playing it does what the step does; nothing has changed afterwards."""
        trainer, before = self._trainer, self._moving_parts()
        try:
            self._play = self._recorder.record(self._step, trainer.generator)
            gradients = []
            for step in (self._step, self._play):
                step()
                gradients.append(trainer.vector.grad.clone())
                self._put_back(before)
            size, off = (torch.linalg.vector_norm(of) for of in (gradients[0], gradients[1] - gradients[0]))
            if off <= _SAME * size:
                return True
            reason = "a recorded step does something else"
        except RuntimeError as error:
            reason = str(error).partition("\n")[0]
        warnings.warn(
            f"Training goes on without recorded steps, which gives the same and takes longer ({reason}).",
            RuntimeWarning,
            stacklevel=4,
        )
        self._recorder = self._play = None
        # The stream of random numbers may be left as it was while something was recorded, where nobody else can draw.
        trainer.generator = make_generator(0, trainer.device)
        self._put_back(before)
        return False

    def _moving_parts(self):
        """All that a step changes."""
        trainer = self._trainer
        moments = {name: values.clone() for name, values in trainer.moments.items()}
        return trainer.vector.detach().clone(), moments, trainer.generator.get_state()

    @torch.no_grad()
    def _put_back(self, parts):
        vector, moments, state = parts
        self._trainer.vector.copy_(vector)
        for name, values in moments.items():
            self._trainer.moments[name].copy_(values)
        self._trainer.generator.set_state(state)
