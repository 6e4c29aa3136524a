// Optional: tables sort on a click, and long ones can be filtered. Nothing on the page needs it.
"use strict";
const value = (row, column) => {
  const cell = row.cells[column];
  return "v" in cell.dataset ? Number(cell.dataset.v) : cell.textContent.trim();
};
const compare = (a, b) => (typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b)));

for (const table of document.querySelectorAll("table.sortable")) {
  const body = table.tBodies[0];
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-label", `Sort by ${head.textContent}`);
    // The name is outside the button: browsers do not print buttons in table headers repeated on each page.
    const words = head.textContent.split(" ");
    const last = document.createElement("span");
    last.append(words.pop(), "\u00a0", button);
    head.replaceChildren(words.map((word) => `${word} `).join(""), last);
    head.addEventListener("click", () => {
      const numbers = body.rows.length > 0 && "v" in body.rows[0].cells[column].dataset;
      const before = head.getAttribute("aria-sort");
      const descending = before ? before === "ascending" : numbers;
      for (const other of heads) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const rows = [...body.rows].sort((a, b) => compare(value(a, column), value(b, column)));
      body.append(...(descending ? rows.reverse() : rows));
    });
  });
  if (body.rows.length <= 20) continue;
  const line = document.createElement("label");
  const input = document.createElement("input");
  const found = document.createElement("span");
  line.className = "filter";
  input.type = "search";
  found.className = "muted";
  found.setAttribute("role", "status");
  line.append("Filter", input, found);
  table.closest(".scroll").before(line);
  input.addEventListener("input", () => {
    const sought = input.value.toLowerCase();
    let shown = 0;
    for (const row of body.rows) {
      row.hidden = !row.cells[0].textContent.toLowerCase().includes(sought);
      shown += !row.hidden;
    }
    found.textContent = sought ? `${shown} of ${body.rows.length}` : "";
  });
}
