// Charts of the last minutes, as SVG.

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [300, 88];
const [LEAST, MOST] = [60000, 600000];

function node(name, attributes) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}

// The time that charts show: what there is, within bounds.
export const shownSpan = (points, now) => Math.min(Math.max(now - (points[0]?.[0] ?? now), LEAST), MOST);

// `points`: [ms, value] each, in order; a value that is null makes a gap. Returns the greatest value, or null.
export function draw(svg, points, tone, now) {
  const from = now - shownSpan(points, now);
  const values = points.map(([, value]) => value).filter((value) => value !== null);
  const top = Math.max(...values, 1) * 1.1;
  const floor = HEIGHT - 4;
  const x = (ms) => (((ms - from) / (now - from)) * WIDTH).toFixed(1);
  const y = (value) => (floor - (value / top) * (HEIGHT - 10)).toFixed(1);
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.setAttribute("preserveAspectRatio", "none");
  const parts = [node("line", { class: "base", x1: 0, x2: WIDTH, y1: floor, y2: floor })];
  for (const run of runs(points.filter(([ms]) => ms >= from))) {
    const path = run.map(([ms, value], index) => `${index ? "L" : "M"}${x(ms)} ${y(value)}`).join("");
    const area = `${path}L${x(run[run.length - 1][0])} ${floor}L${x(run[0][0])} ${floor}Z`;
    parts.push(node("path", { class: `area tone-${tone}`, d: area }));
    parts.push(node("path", { class: `line tone-${tone}`, d: path }));
  }
  svg.replaceChildren(...parts);
  return values.length ? Math.max(...values) : null;
}

// Stretches without a gap; a single point is drawn as a short line.
function runs(points) {
  const found = [];
  let run = [];
  for (const point of [...points, [0, null]]) {
    if (point[1] !== null) run.push(point);
    else if (run.length) {
      found.push(run.length > 1 ? run : [[run[0][0] - 2000, run[0][1]], run[0]]);
      run = [];
    }
  }
  return found;
}
