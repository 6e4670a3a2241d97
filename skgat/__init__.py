"""Which pre-trained models to fine-tune on your dataset, learned from the history of which did well where."""

__version__ = "0.1.0"
