/* Tables: sorting by the first number of a cell, or by its text. */
function sortKey(cell) {
  const text = cell.textContent.trim();
  const number = text.replace(/[,\s]/g, "").replace("−", "-").match(/^[<±+]?(-?\d+(\.\d+)?(e-?\d+)?)/i);
  return number ? Number(number[1]) : text === "—" || text === "" ? null : text;
}
function compareKeys(a, b, direction) {
  if (a === null || b === null) return (a === null) - (b === null); // what was not measured stays last
  if (typeof a === typeof b) return direction * (a < b ? -1 : a > b ? 1 : 0);
  return typeof a === "number" ? -1 : 1;
}
function sortTable(button) {
  const header = button.closest("th");
  const column = header.cellIndex;
  const ascending = header.getAttribute("aria-sort") !== "ascending";
  all("th", header.parentElement).forEach((other) => other.removeAttribute("aria-sort"));
  header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
  const body = header.closest("table").tBodies[0];
  const rows = Array.from(body.rows).map((row) => [sortKey(row.cells[column]), row]);
  rows.sort((a, b) => compareKeys(a[0], b[0], ascending ? 1 : -1));
  body.append(...rows.map((pair) => pair[1]));
}

/* Flips and the filter over methods. */
function filterFlips() {
  if (!byId("flip-list")) return;
  const [method, direction] = [byId("flip-method").value, byId("flip-direction").value];
  const words = byId("flip-search").value.toLowerCase();
  let count = 0;
  for (const flip of all(".flip")) {
    const fits = (!method || flip.dataset.method === method) && (!direction || flip.dataset.direction === direction)
      && !hidden.has(flip.dataset.method) && flip.textContent.toLowerCase().includes(words);
    flip.hidden = !fits;
    count += fits;
  }
  byId("flip-count").textContent = `${count} shown`;
}
function filterMethods() {
  hidden.clear();
  all("#shown input").forEach((box) => { if (!box.checked) hidden.add(box.value); });
  for (const row of all("table[data-methods] tbody tr")) row.hidden = hidden.has(row.cells[0].textContent.trim());
  view.domain = null;
  drawChart();
  drawCurves();
  drawLoads();
  filterFlips();
}

function fillAxes() {
  const [across, up] = [byId("axis-x"), byId("axis-y")];
  const cost = data.axes.findIndex((axis) => axis.cost);
  const gain = data.axes.findIndex((axis) => !axis.cost);
  for (const [select, chosen] of [[across, Math.max(0, cost)], [up, gain < 0 ? 1 : gain]]) {
    data.axes.forEach((axis, index) => select.append(new Option(axis.name, index, false, index === chosen)));
    select.addEventListener("change", reset);
  }
  byId("zoom-in").addEventListener("click", () => zoom(0.7));
  byId("zoom-out").addEventListener("click", () => zoom(1 / 0.7));
  byId("zoom-reset").addEventListener("click", reset);
}

let opened = [];
window.addEventListener("beforeprint", () => {
  opened = all(".flip:not([hidden]):not([open])");
  opened.forEach((flip) => { flip.open = true; });
});
window.addEventListener("afterprint", () => opened.forEach((flip) => { flip.open = false; }));
window.addEventListener("resize", drawChart);
all(".sort").forEach((button) => button.addEventListener("click", () => sortTable(button)));
all("#shown input").forEach((box) => box.addEventListener("change", filterMethods));
["flip-method", "flip-direction", "flip-search"].forEach((id) => byId(id) && byId(id).addEventListener("input", filterFlips));
if (chart) fillAxes();
filterMethods();

/* A link to a detail opens it. */
function openTarget() {
  const target = location.hash.length > 1 && byId(location.hash.slice(1));
  if (target && target.tagName === "DETAILS") target.open = true;
}
window.addEventListener("hashchange", openTarget);
openTarget();
