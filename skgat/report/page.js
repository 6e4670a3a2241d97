"use strict";
(() => {
  const table = document.getElementById("ranking");
  const body = table.tBodies[0];
  const headers = [...table.tHead.rows[0].cells];
  const status = document.getElementById("status");
  const names = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });

  const keyOf = (cell) => {
    if (cell.dataset.value === undefined) return cell.textContent;
    return cell.dataset.value === "" ? null : Number(cell.dataset.value);
  };

  const compare = (a, b) => (typeof a === "string" ? names.compare(a, b) : a - b);

  const sortBy = (column, direction) => {
    const sign = direction === "ascending" ? 1 : -1;
    const keyed = [...body.rows].map((row) => [keyOf(row.cells[column]), row]);
    keyed.sort(([a], [b]) => {
      // What is missing stays at the end, whichever way.
      if (a === null || b === null) return (a === null) - (b === null);
      return sign * compare(a, b);
    });
    body.append(...keyed.map(([, row]) => row));
    headers.forEach((header, number) => {
      if (number === column) header.setAttribute("aria-sort", direction);
      else header.removeAttribute("aria-sort");
    });
  };

  headers.forEach((header, column) => {
    const button = header.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const now = header.getAttribute("aria-sort");
      const other = now === "ascending" ? "descending" : "ascending";
      sortBy(column, now ? other : header.dataset.first);
      status.textContent = `Sorted by ${button.textContent}, ${header.getAttribute("aria-sort")}.`;
    });
  });

  const search = document.getElementById("search");
  search.addEventListener("input", () => {
    const wanted = search.value.trim().toLowerCase();
    let shown = 0;
    for (const row of body.rows) {
      row.hidden = !row.querySelector("th").textContent.toLowerCase().includes(wanted);
      shown += row.hidden ? 0 : 1;
    }
    status.textContent = wanted ? `${shown} of ${body.rows.length} models shown.` : "";
  });
  document.querySelector(".tools").hidden = false;

  // Paper shows everything.
  addEventListener("beforeprint", () => {
    document.querySelectorAll("details").forEach((part) => { part.open = true; });
  });
})();
