/* The trade-off chart. */
const chart = byId("chart");
const view = { domain: null };

function points(x, y) {
  return labels
    .map((label, index) => ({ label, index, x: x.values[index], y: y.values[index] }))
    .filter((point) => point.x !== null && point.y !== null && !hidden.has(point.label));
}
function frontOf(found, x, y) {
  const better = (axis, a, b) => (axis.lowerIsBetter ? a < b : a > b);
  const beaten = (point) => found.some((other) =>
    !better(x, point.x, other.x) && !better(y, point.y, other.y) &&
    (better(x, other.x, point.x) || better(y, other.y, point.y)));
  return found.filter((point) => !beaten(point)).sort((a, b) => a.x - b.x);
}
function spread(axis, found, key) {
  const values = found.flatMap((point) => [axis.low[point.index], axis.high[point.index], point[key]]);
  values.push(...axis.floors);
  return values.filter((value) => value !== null);
}
function domainOf(values, log, fromZero) {
  const ends = [Math.min(...values), Math.max(...values)].map(forward(log));
  if (fromZero && !log && ends[0] >= 0) return [0, ends[1] * 1.12 || 1];
  const margin = (ends[1] - ends[0]) * 0.12 || Math.abs(ends[0]) * 0.1 || 1;
  return [log || ends[0] < 0 ? ends[0] - margin : Math.max(0, ends[0] - margin), ends[1] + margin];
}

function drawChart() {
  if (!chart) return;
  const x = data.axes[byId("axis-x").value];
  const y = data.axes[byId("axis-y").value];
  const found = points(x, y);
  chart.replaceChildren();
  if (found.length === 0) {
    byId("chart-note").textContent = "No method that is shown has both figures.";
    return;
  }
  const logs = { x: !x.fromZero && isLog(spread(x, found, "x")), y: !y.fromZero && isLog(spread(y, found, "y")) };
  if (!view.domain) {
    const [x0, x1] = domainOf(spread(x, found, "x"), logs.x, x.fromZero);
    const [y0, y1] = domainOf(spread(y, found, "y"), logs.y, y.fromZero);
    view.domain = { x0, x1, y0, y1 };
  }
  const narrow = chart.clientWidth < 520;
  const size = narrow ? { width: 400, height: 380 } : { width: 820, height: 440 };
  const box = { left: 62, top: 34, width: size.width - 82, height: size.height - 86 };
  const root = svg("svg", { viewBox: `0 0 ${size.width} ${size.height}`, tabindex: 0, role: "img",
    "aria-label": describe(found, x, y) }, chart);
  const clip = svg("clipPath", { id: "inside" }, svg("defs", {}, root));
  svg("rect", { x: box.left, y: box.top - 6, width: box.width + 14, height: box.height + 12 }, clip);
  const { px, py } = frame(root, box, view.domain, logs, { x: x.name, y: y.name });
  const plot = svg("g", { "clip-path": "url(#inside)" }, root);
  drawFloors(plot, box, x, y, px, py);
  const front = frontOf(found, x, y);
  const at = (p) => [px(p.x), py(p.y)];
  svg("polyline", { class: "front", points: front.map((p) => at(p).join(",")).join(" ") }, plot);
  found.forEach((point) => drawPoint(plot, point, x, y, px, py));
  drawLabels(plot, box, found, at, linesOf(front.map(at), box, found, x, y, px, py));
  byId("chart-note").textContent = `${arrow(x, y)} On the front of these two: ${front.map((p) => p.label).join(", ")}.`;
  navigate(root, box, size);
}
function arrow(x, y) {
  const way = [y.lowerIsBetter ? "down" : "up", x.lowerIsBetter ? "left" : "right"];
  return `Better is ${way[0]} and to the ${way[1]}. Bars are 95 % intervals, or the range after few repetitions.`;
}
function describe(found, x, y) {
  const list = found.map((p) => `${p.label}: ${x.name} ${show(p.x)}, ${y.name} ${show(p.y)}`);
  return `${y.name} over ${x.name}. ${list.join("; ")}. Plus and minus zoom, arrow keys move.`;
}
function drawFloors(plot, box, x, y, px, py) {
  const name = (axis) => (axis.key === "kl" ? "noise floor" : "the baseline again");
  y.floors.forEach((floor, index) => {
    svg("line", { x1: box.left, x2: box.left + box.width, y1: py(floor), y2: py(floor), class: "floor" }, plot);
    if (index === 0) svg("text", { x: box.left + 6, y: py(floor) - 5, "font-size": 12, class: "tick" }, plot, name(y));
  });
  x.floors.forEach((floor, index) => {
    svg("line", { y1: box.top, y2: box.top + box.height, x1: px(floor), x2: px(floor), class: "floor" }, plot);
    if (index === 0) svg("text", { x: px(floor) + 5, y: box.top + 10, "font-size": 12, class: "tick" }, plot, name(x));
  });
}
/* Labels: each goes where it covers no point, no other label, no line of the front and no interval. */
function linesOf(front, box, found, x, y, px, py) {
  const lines = front.slice(1).map((end, index) => [front[index], end]);
  lines.push(...y.floors.map((floor) => [[box.left, py(floor)], [box.left + box.width, py(floor)]]));
  lines.push(...x.floors.map((floor) => [[px(floor), box.top], [px(floor), box.top + box.height]]));
  for (const { index, x: value, y: other } of found) {
    if (y.low[index] !== null) lines.push([[px(value), py(y.low[index])], [px(value), py(y.high[index])]]);
    if (x.low[index] !== null) lines.push([[px(x.low[index]), py(other)], [px(x.high[index]), py(other)]]);
  }
  return lines;
}
const PLACES = [[1, -1], [1, 1], [-1, -1], [-1, 1], [0, -1.4], [0, 1.4], [1, 0], [-1, 0], [1, -2.4], [1, 2.4], [-1, -2.4], [-1, 2.4]];
function drawLabels(plot, box, found, at, lines) {
  const taken = found.map(at).map(([x, y]) => ({ x0: x - 7, x1: x + 7, y0: y - 7, y1: y + 7 }));
  for (const point of found) {
    const text = svg("text", { "font-size": 13, class: "name" }, plot, point.label);
    const width = text.getComputedTextLength();
    const [cx, cy] = at(point);
    const boxes = PLACES.map(([right, down]) => {
      const left = right === 0 ? cx - width / 2 : right > 0 ? cx + 10 : cx - 10 - width;
      const middle = cy + down * 12;
      return { x0: left, x1: left + width, y0: middle - 8, y1: middle + 8 };
    });
    const inside = (b) => b.x0 >= box.left && b.x1 <= box.left + box.width + 14 && b.y0 >= box.top - 6 && b.y1 <= box.top + box.height;
    const cost = (b) => (inside(b) ? 0 : 8) + 4 * taken.filter((other) => meet(b, other)).length + lines.filter((line) => crosses(line, b)).length;
    const best = boxes.reduce((one, other) => (cost(other) < cost(one) ? other : one));
    taken.push(best);
    text.setAttribute("x", best.x0);
    text.setAttribute("y", best.y0 + 12.5);
  }
}
const meet = (a, b) => a.x0 < b.x1 && b.x0 < a.x1 && a.y0 < b.y1 && b.y0 < a.y1;
function crosses([[ax, ay], [bx, by]], b) {
  let [low, high] = [0, 1]; // Liang and Barsky: the part of the line that lies in the box
  for (const [step, from, to] of [[bx - ax, b.x0 - ax, b.x1 - ax], [by - ay, b.y0 - ay, b.y1 - ay]]) {
    if (step === 0) { if (from > 0 || to < 0) return false; continue; }
    const ends = [from / step, to / step].sort((one, other) => one - other);
    [low, high] = [Math.max(low, ends[0]), Math.min(high, ends[1])];
  }
  return low <= high;
}
function drawPoint(plot, point, x, y, px, py) {
  const [cx, cy] = [px(point.x), py(point.y)];
  const stroke = { stroke: colourOf(point.index), "stroke-width": 1.5, class: "bar" };
  const bar = (axis, index) => (axis.low[index] === null ? null : [axis.low[index], axis.high[index]]);
  const [across, up] = [bar(x, point.index), bar(y, point.index)];
  if (across) svg("line", { x1: px(across[0]), x2: px(across[1]), y1: cy, y2: cy, ...stroke }, plot);
  if (up) svg("line", { x1: cx, x2: cx, y1: py(up[0]), y2: py(up[1]), ...stroke }, plot);
  const shape = mark(plot, point.index, cx, cy, 6);
  const range = (pair) => (pair ? ` (${show(pair[0])} to ${show(pair[1])})` : "");
  const title = `${point.label}\n${x.name}: ${show(point.x)}${range(across)}\n${y.name}: ${show(point.y)}${range(up)}`;
  svg("title", {}, shape, title);
}

/* Zoom and move: buttons, keys, and dragging. */
function zoom(factor) {
  const d = view.domain;
  const about = (low, high) => [(low + high) / 2 - ((high - low) / 2) * factor, (low + high) / 2 + ((high - low) / 2) * factor];
  [d.x0, d.x1] = about(d.x0, d.x1);
  [d.y0, d.y1] = about(d.y0, d.y1);
  redraw();
}
function move(across, up) {
  const d = view.domain;
  const [dx, dy] = [(d.x1 - d.x0) * across, (d.y1 - d.y0) * up];
  Object.assign(d, { x0: d.x0 + dx, x1: d.x1 + dx, y0: d.y0 + dy, y1: d.y1 + dy });
}
function redraw() {
  const focused = chart.contains(document.activeElement);
  drawChart();
  if (focused) chart.querySelector("svg").focus();
}
function reset() {
  view.domain = null;
  drawChart();
}
const KEYS = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] };
function navigate(root, box, size) {
  root.addEventListener("keydown", (event) => {
    if (event.key === "+" || event.key === "=") zoom(0.7);
    else if (event.key === "-") zoom(1 / 0.7);
    else if (event.key === "0") reset();
    else if (KEYS[event.key]) { move(...KEYS[event.key]); redraw(); }
    else return;
    event.preventDefault();
  });
  root.addEventListener("pointerdown", (start) => {
    if (start.pointerType === "touch") return; // a finger scrolls the page
    let last = start;
    const scale = size.width / root.clientWidth;
    const drag = (event) => {
      move(-((event.clientX - last.clientX) * scale) / box.width, ((event.clientY - last.clientY) * scale) / box.height);
      last = event;
      drawChart();
    };
    window.addEventListener("pointermove", drag);
    window.addEventListener("pointerup", () => window.removeEventListener("pointermove", drag), { once: true });
  });
}

/* Sweep curves. */
function drawCurves() {
  const place = byId("curves");
  if (!place) return;
  place.replaceChildren();
  for (const sweep of data.sweeps) {
    const series = sweep.series.map((found, index) => ({ found, index })).filter((s) => s.found.length && !hidden.has(labels[s.index]));
    if (series.length === 0) continue;
    const figure = document.createElement("figure");
    const title = document.createElement("h3");
    title.textContent = sweep.name;
    figure.append(title, curve(sweep, series), key(series));
    place.append(figure);
  }
}
function curve(sweep, series) {
  const cells = series.flatMap((s) => s.found);
  const batches = [...new Set(cells.map((cell) => cell[0]))].sort((a, b) => a - b);
  const values = cells.flatMap((cell) => cell.slice(1)).filter((value) => value !== null);
  const logs = { x: true, y: isLog(values) };
  const [x0, x1] = domainOf(batches, true);
  const [y0, y1] = domainOf(values, logs.y, true);
  const list = series.map((s) => `${labels[s.index]} ${s.found.map((cell) => `${cell[0]}: ${show(cell[1])}`).join(", ")}`);
  const root = svg("svg", { viewBox: "0 0 440 300", role: "img", "aria-label": `${sweep.name} over batch sizes. ${list.join("; ")}` });
  const box = { left: 58, top: 14, width: 366, height: 234 };
  const { px, py } = frame(root, box, { x0, x1, y0, y1 }, logs, { x: "Batch size", y: "" }, batches);
  for (const { found, index } of series) {
    const colour = colourOf(index);
    svg("polyline", { points: found.map((c) => `${px(c[0])},${py(c[1])}`).join(" "), fill: "none", stroke: colour, "stroke-width": 2 }, root);
    for (const [batch, value, low, high] of found) {
      if (low !== null) svg("line", { x1: px(batch), x2: px(batch), y1: py(low), y2: py(high), stroke: colour }, root);
      svg("title", {}, mark(root, index, px(batch), py(value), 4.5), `${labels[index]}, batch ${batch}: ${show(value)}`);
    }
  }
  return root;
}
function key(series) {
  const list = document.createElement("ul");
  list.className = "key";
  for (const { index } of series) {
    const item = document.createElement("li");
    mark(svg("svg", { viewBox: "0 0 16 16", "aria-hidden": "true" }, item), index, 8, 8, 5);
    item.append(` ${labels[index]}`);
    list.append(item);
  }
  return list;
}
