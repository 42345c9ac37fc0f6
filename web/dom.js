// Owns the few helpers the page builds itself with. Text only ever goes in as text, never as markup.

export const byId = (id) => document.getElementById(id);

/** An element with attributes and children; strings become text nodes. */
export function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) if (value !== null) element.setAttribute(key, value);
  element.append(...children.filter((child) => child !== null));
  return element;
}

export function put(id, text) {
  const element = byId(id);
  const next = text === null || text === undefined ? '–' : String(text);
  if (element.textContent !== next) element.textContent = next;
}

/** Replaces the body of a table; `empty` stands there when there are no rows. */
export function fill(table, rows, empty) {
  const columns = table.tHead.rows[0].cells.length;
  const none = make('tr', {}, make('td', { colspan: columns, class: 'quiet' }, empty));
  table.tBodies[0].replaceChildren(...(rows.length > 0 ? rows : [none]));
}

export const row = (...cells) =>
  make('tr', {}, ...cells.map((cell) => (cell instanceof HTMLTableCellElement ? cell : make('td', {}, cell ?? '–'))));

/** A hash or address in short, with the whole of it as a tooltip. */
export function short(hex) {
  if (hex === null || hex === undefined) return '–';
  return make('span', { class: 'mono', title: hex }, hex.length > 14 ? `${hex.slice(0, 8)}…${hex.slice(-4)}` : hex);
}

const counts = new Intl.NumberFormat('en');
export const number = (value) => (value === null || value === undefined ? '–' : counts.format(value));
export const loss = (value) => (value === null || value === undefined ? '–' : value.toFixed(3));

/** A decimal amount with at most four fraction digits. */
export function amount(decimal) {
  if (decimal === null || decimal === undefined) return '–';
  const [whole, fraction = ''] = decimal.split('.');
  const digits = fraction.slice(0, 4).replace(/0+$/, '');
  return `${counts.format(BigInt(whole))}${digits === '' ? '' : `.${digits}`}`;
}

/** Seconds since, in the largest fitting unit. */
export function ago(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.round(seconds))} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} d`;
}

/** JSON of a GET; a refusal throws with the server's own words. */
export async function get(path) {
  const response = await fetch(path, { headers: { accept: 'application/json' } });
  const body = await response.json();
  if (!response.ok) throw new Error(body.error?.message ?? `HTTP ${response.status}`);
  return body;
}
