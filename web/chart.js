// Owns the loss chart: two lines over rounds as inline SVG.

const SVG = 'http://www.w3.org/2000/svg';
const HEIGHT = 240;
const EDGE = { left: 46, right: 14, top: 12, bottom: 26 };

function shape(name, attributes, text) {
  const element = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, String(value));
  if (text !== undefined) element.textContent = text;
  return element;
}

/** Round steps of 1, 2 or 5 that cut a range into about four. */
function ticks(low, high) {
  const rough = (high - low) / 4 || 1;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * unit).find((size) => size >= rough) ?? 10 * unit;
  const list = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step / 1e6; at += step) list.push(at);
  return list;
}

/** Draws points {round, held_out_loss, training_loss} into an element; false when there is nothing to draw. */
export function drawChart(into, points) {
  const values = points.flatMap((p) => [p.held_out_loss, p.training_loss]).filter((v) => v !== null);
  if (values.length === 0) {
    into.replaceChildren();
    return false;
  }
  // Drawn in real pixels, so that text keeps its shape on every screen.
  const width = Math.max(260, into.clientWidth);
  const rounds = points.map((p) => p.round);
  const first = Math.min(...rounds);
  const last = Math.max(...rounds, first + 1);
  const spread = Math.max(0.05, Math.max(...values) - Math.min(...values));
  const low = Math.min(...values) - spread * 0.08;
  const high = Math.max(...values) + spread * 0.08;
  const x = (round) => EDGE.left + ((round - first) / (last - first)) * (width - EDGE.left - EDGE.right);
  const y = (value) => HEIGHT - EDGE.bottom - ((value - low) / (high - low)) * (HEIGHT - EDGE.top - EDGE.bottom);
  const svg = shape('svg', { viewBox: `0 0 ${width} ${HEIGHT}` });
  for (const at of ticks(low, high)) {
    svg.append(shape('line', { class: 'grid', x1: EDGE.left, x2: width - EDGE.right, y1: y(at), y2: y(at) }));
    svg.append(shape('text', { x: EDGE.left - 8, y: y(at) + 4, 'text-anchor': 'end' }, at.toFixed(spread < 0.5 ? 2 : 1)));
  }
  for (const at of ticks(first, last).filter(Number.isInteger)) {
    svg.append(shape('text', { x: x(at), y: HEIGHT - 8, 'text-anchor': 'middle' }, String(at)));
  }
  for (const [field, name] of [['training_loss', 'train'], ['held_out_loss', 'held']]) {
    const known = points.filter((p) => p[field] !== null);
    if (known.length > 1) {
      svg.append(shape('polyline', { class: name, points: known.map((p) => `${x(p.round)},${y(p[field])}`).join(' ') }));
    }
  }
  const held = points.filter((p) => p.held_out_loss !== null);
  for (const p of held.length > 60 ? held.slice(-1) : held) {
    const dot = shape('circle', { class: 'dot', cx: x(p.round), cy: y(p.held_out_loss), r: 3 });
    dot.append(shape('title', {}, `round ${p.round}: ${p.held_out_loss.toFixed(4)}`));
    svg.append(dot);
  }
  into.replaceChildren(svg);
  return true;
}
