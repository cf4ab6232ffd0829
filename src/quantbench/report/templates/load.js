/* Throughput against latency: a solid line for the median, a dotted one for the 99th percentile. */
const SHARES = [{ name: "median", dash: "none" }, { name: "99th percentile", dash: "2 4" }];

function drawLoads() {
  const place = byId("load-charts");
  if (!place) return;
  place.replaceChildren();
  for (const panel of data.loads) {
    const series = panel.series.filter((one) => !hidden.has(labels[one.index]));
    if (series.length === 0) continue;
    const figure = document.createElement("figure");
    const title = document.createElement("h3");
    title.textContent = panel.name;
    figure.append(title, loadChart(panel, series), key(series));
    place.append(figure);
  }
}
function loadChart(panel, series) {
  const cells = series.flatMap((one) => one.points);
  const [times, rates] = [cells.flatMap((cell) => cell.times), cells.map((cell) => cell.rate)];
  const logs = { x: isLog(times), y: false };
  const [x0, x1] = domainOf(times, logs.x, true);
  const [y0, y1] = domainOf(rates, false, true);
  const told = series.map((one) => `${labels[one.index]} ${one.points.map((cell) => loadWords(panel, cell)).join(", ")}`);
  const root = svg("svg", { viewBox: "0 0 440 320", role: "img", "aria-label": `${panel.name}. ${told.join("; ")}` });
  const box = { left: 58, top: 34, width: 366, height: 234 };
  const { px, py } = frame(root, box, { x0, x1, y0, y1 }, logs, { x: panel.x, y: "New tokens/s" });
  for (const { index, points } of series) {
    const colour = `var(--m${index % 7})`;
    SHARES.forEach((share, number) => {
      const line = points.map((cell) => `${px(cell.times[number])},${py(cell.rate)}`).join(" ");
      svg("polyline", { points: line, fill: "none", stroke: colour, "stroke-width": 2, "stroke-dasharray": share.dash }, root);
      for (const cell of points) {
        const shape = mark(root, index, px(cell.times[number]), py(cell.rate), number === 0 ? 4.5 : 3);
        svg("title", {}, shape, `${labels[index]}, ${loadWords(panel, cell)}`);
      }
    });
    for (const cell of points) {
      svg("text", { x: px(cell.times[0]) - 7, y: py(cell.rate) - 6, "text-anchor": "end", "font-size": 11, class: "tick" }, root, show(cell.load));
    }
  }
  return root;
}
function loadWords(panel, cell) {
  const times = SHARES.map((share, number) => `${share.name} ${show(cell.times[number])} ms`);
  return `${show(cell.load)} ${panel.load}: ${show(cell.rate)} tokens/s, ${times.join(", ")}, ${cell.requests} requests`;
}
