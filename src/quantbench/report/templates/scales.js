const data = JSON.parse(document.getElementById("data").textContent);
const labels = data.methods.map((method) => method.label);
const hidden = new Set();
const all = (selector, root = document) => Array.from(root.querySelectorAll(selector));
const byId = (id) => document.getElementById(id);

function svg(name, attributes, parent, text) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  if (text !== undefined) element.textContent = text;
  if (parent) parent.append(element);
  return element;
}

/* Numbers and scales. */
function show(value) {
  if (value === null) return "—";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e6)) return value.toExponential(1);
  const digits = size === 0 ? 0 : Math.max(0, 2 - Math.floor(Math.log10(size)));
  return value.toLocaleString("en", { maximumFractionDigits: Math.min(digits, 4) });
}
const isLog = (values) => Math.min(...values) > 0 && Math.max(...values) / Math.min(...values) > 30;
const forward = (log) => (log ? Math.log10 : (value) => value);
const backward = (log) => (log ? (value) => 10 ** value : (value) => value);
function steps(low, high, count) {
  const raw = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((unit) => unit * power).find((unit) => unit >= raw);
  const ticks = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high + step * 1e-9; tick += step) {
    ticks.push(Math.abs(tick) < step * 1e-9 ? 0 : tick);
  }
  return ticks;
}
function logTicks(low, high, count) {
  const ticks = [];
  for (let power = Math.floor(low) - 1; power <= Math.ceil(high); power++) {
    for (const unit of [1, 2, 5]) ticks.push(unit * 10 ** power);
  }
  const inside = ticks.filter((tick) => Math.log10(tick) >= low && Math.log10(tick) <= high);
  const decades = inside.filter((tick) => Number.isInteger(Math.round(Math.log10(tick) * 1e9) / 1e9));
  return inside.length > count + 2 && decades.length > 1 ? decades : inside;
}

/* Marks: shape and colour both tell methods apart; the first colour is the first row's alone. */
function colourOf(index) {
  return `var(--m${index ? 1 + ((index - 1) % 6) : 0})`;
}
function mark(parent, index, x, y, size) {
  const colour = colourOf(index);
  const s = size;
  const shapes = [
    `M${x - s},${y}a${s},${s} 0 1,0 ${2 * s},0a${s},${s} 0 1,0 ${-2 * s},0`,
    `M${x - s},${y - s}h${2 * s}v${2 * s}h${-2 * s}z`,
    `M${x},${y - 1.3 * s}l${1.3 * s},${1.3 * s}l${-1.3 * s},${1.3 * s}l${-1.3 * s},${-1.3 * s}z`,
    `M${x},${y - 1.2 * s}l${1.2 * s},${2.2 * s}h${-2.4 * s}z`,
    `M${x},${y + 1.2 * s}l${1.2 * s},${-2.2 * s}h${-2.4 * s}z`,
  ];
  return svg("path", { d: shapes[index % shapes.length], fill: colour, class: "mark" }, parent);
}

/* A frame with ticks; returns the functions from values to pixels. */
function frame(root, box, domain, logs, names, xTicks) {
  const [fx, fy] = [forward(logs.x), forward(logs.y)];
  const px = (value) => box.left + ((fx(value) - domain.x0) / (domain.x1 - domain.x0)) * box.width;
  const py = (value) => box.top + box.height - ((fy(value) - domain.y0) / (domain.y1 - domain.y0)) * box.height;
  const ticks = (log, low, high, count) => (log ? logTicks : steps)(low, high, count);
  for (const tick of ticks(logs.y, domain.y0, domain.y1, 5)) {
    const y = py(tick);
    svg("line", { x1: box.left, x2: box.left + box.width, y1: y, y2: y, class: "grid" }, root);
    svg("text", { x: box.left - 7, y: y + 4, "text-anchor": "end", "font-size": 12, class: "tick" }, root, show(tick));
  }
  for (const tick of xTicks || ticks(logs.x, domain.x0, domain.x1, Math.max(3, Math.floor(box.width / 110)))) {
    const x = px(tick);
    svg("line", { x1: x, x2: x, y1: box.top + box.height, y2: box.top + box.height + 5, class: "grid" }, root);
    svg("text", { x, y: box.top + box.height + 19, "text-anchor": "middle", "font-size": 12, class: "tick" }, root, show(tick));
  }
  svg("line", { x1: box.left, x2: box.left + box.width, y1: box.top + box.height, y2: box.top + box.height, class: "grid" }, root);
  svg("text", { x: box.left + box.width / 2, y: box.top + box.height + 40, "text-anchor": "middle", "font-size": 13 }, root, names.x);
  svg("text", { x: 4, y: box.top - 10, "font-size": 13 }, root, names.y);
  return { px, py };
}
