// Owns drawing a few curves over one axis as a small SVG file for docs: fixed size, round numbers on the axes, a legend.

export type Line = Readonly<{ name: string; points: readonly Readonly<{ x: number; y: number }>[] }>;

const WIDTH = 720;
const HEIGHT = 400;
const LEFT = 56;
const RIGHT = 190;
const TOP = 28;
const BOTTOM = 44;
const COLOURS = ['#111111', '#1f77b4', '#2ca02c', '#ff7f0e', '#d62728', '#9467bd', '#8c564b', '#17becf'];

/** Steps of 1, 2 or 5 times a power of ten, about five of them between two numbers. */
function ticks(from: number, to: number): number[] {
  const rough = (to - from) / 5;
  let unit = 1;
  while (unit > rough) unit /= 10;
  while (unit * 10 <= rough) unit *= 10;
  const step = unit * ([5, 2, 1].find((factor) => unit * factor <= rough) ?? 1);
  const marks: number[] = [];
  for (let mark = Math.ceil(from / step); mark * step <= to; mark++) marks.push(mark * step);
  return marks;
}

const escaped = (text: string): string => text.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
const place = (value: number): string => value.toFixed(1);
const label = (value: number): string => String(Math.round(value * 1e6) / 1e6);

/** An SVG document with the lines in the order given; y is cut at `most`. */
export function linePlot(title: string, xName: string, lines: readonly Line[], most: number): string {
  const all = lines.flatMap(({ points }) => points);
  const [x0, x1] = [Math.min(...all.map(({ x }) => x)), Math.max(...all.map(({ x }) => x))];
  const y0 = Math.min(...all.map(({ y }) => y));
  const atX = (x: number): string => place(LEFT + ((x - x0) / (x1 - x0 || 1)) * (WIDTH - LEFT - RIGHT));
  const atY = (y: number): string => place(HEIGHT - BOTTOM - ((y - y0) / (most - y0 || 1)) * (HEIGHT - TOP - BOTTOM));
  const out = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="#ffffff"/>`,
    `<text x="${LEFT}" y="16" font-size="13">${escaped(title)}</text>`,
  ];
  for (const mark of ticks(y0, most)) {
    out.push(
      `<path d="M${LEFT} ${atY(mark)}H${WIDTH - RIGHT}" stroke="#dddddd"/>`,
      `<text x="${LEFT - 6}" y="${atY(mark)}" text-anchor="end" dominant-baseline="middle">${label(mark)}</text>`,
    );
  }
  for (const mark of ticks(x0, x1)) {
    out.push(`<text x="${atX(mark)}" y="${HEIGHT - BOTTOM + 16}" text-anchor="middle">${label(mark)}</text>`);
  }
  out.push(`<text x="${(LEFT + WIDTH - RIGHT) / 2}" y="${HEIGHT - 8}" text-anchor="middle">${escaped(xName)}</text>`);
  for (const [index, { name, points }] of lines.entries()) {
    const colour = COLOURS[index % COLOURS.length];
    const way = points.filter(({ y }) => y <= most).map(({ x, y }) => `${atX(x)},${atY(y)}`);
    const row = TOP + 10 + 18 * index;
    out.push(
      `<polyline points="${way.join(' ')}" fill="none" stroke="${colour}" stroke-width="1.6"/>`,
      `<path d="M${WIDTH - RIGHT + 10} ${row}h18" stroke="${colour}" stroke-width="2"/>`,
      `<text x="${WIDTH - RIGHT + 34}" y="${row}" dominant-baseline="middle">${escaped(name)}</text>`,
    );
  }
  return `${out.join('\n')}\n</svg>\n`;
}
