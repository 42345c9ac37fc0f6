// Writes docs/protocol/system-abi.md from the ABI and the NatSpec comments of every contract in chain/contracts. With --check
// it writes nothing and exits with 1 when the file is out of date.

import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const from = join(root, 'chain', 'contracts');
const target = join(root, 'docs', 'protocol', 'system-abi.md');
const solc = createRequire(import.meta.url)('solc');

const names = readdirSync(from).filter((name) => name.endsWith('.sol'));
const sources = Object.fromEntries(
  names.sort().map((name) => [name, { content: readFileSync(join(from, name), 'utf8') }]),
);
const wanted = ['abi', 'devdoc', 'userdoc', 'evm.methodIdentifiers'];
const settings = { viaIR: true, evmVersion: 'cancun', outputSelection: { '*': { '*': wanted } } };
const output = JSON.parse(solc.compile(JSON.stringify({ language: 'Solidity', sources, settings })));
const errors = (output.errors ?? []).filter(({ severity }) => severity === 'error');
if (errors.length > 0) throw new Error(errors.map(({ formattedMessage }) => formattedMessage).join('\n'));

const cell = (text) => text.replace(/\s+/g, ' ').replaceAll('|', '\\|').trim();

function typeOf({ type, components }) {
  return components === undefined ? type : `(${components.map(typeOf).join(',')})${type.slice('tuple'.length)}`;
}

const signatureOf = ({ name, inputs }) => `${name}(${inputs.map(typeOf).join(',')})`;
const shown = (list) =>
  list.map((one) => `${typeOf(one)}${one.indexed ? ' indexed' : ''}${one.name ? ` ${one.name}` : ''}`).join(', ');

/** What the comments say of one entry: notice, then details, parameters and results. */
function words(signature, user, dev) {
  const of = (docs) => [docs?.[signature] ?? []].flat()[0] ?? {};
  const [u, d] = [of(user), of(dev)];
  const named = Object.entries({ ...d.params, ...d.returns }).map(([name, text]) => `\`${name}\`: ${text}`);
  return cell([u.notice, d.details, ...named].filter(Boolean).join(' ')) || '';
}

function table(title, heads, rows) {
  if (rows.length === 0) return '';
  const line = (cells) => `| ${cells.join(' | ')} |`;
  return `\n### ${title}\n\n${[line(heads), line(heads.map(() => '---')), ...rows.map(line)].join('\n')}\n`;
}

function section(name) {
  const { abi, devdoc, userdoc, evm } = output.contracts[`${name}.sol`][name];
  const of = (kind) =>
    abi.filter(({ type }) => type === kind).sort((a, b) => (signatureOf(a) < signatureOf(b) ? -1 : 1));
  const say = (one, kind) =>
    words(signatureOf(one), userdoc[kind], { ...devdoc[kind], ...(kind === 'methods' ? stateOf(devdoc) : {}) });
  const functions = of('function').map((one) => [
    `\`${evm.methodIdentifiers[signatureOf(one)]}\``,
    `\`${one.name}(${shown(one.inputs)})\`${one.outputs.length > 0 ? ` → \`${shown(one.outputs)}\`` : ''}`,
    one.stateMutability,
    say(one, 'methods'),
  ]);
  const plain = (kind, docs) => of(kind).map((one) => [`\`${one.name}(${shown(one.inputs)})\``, say(one, docs)]);
  const about = [devdoc.title, userdoc.notice, devdoc.details]
    .filter(Boolean)
    .map(cell)
    .join('. ')
    .replaceAll('..', '.');
  return [
    `\n## ${name}\n\n${about}\n`,
    table('Functions', ['selector', 'function', 'kind', 'what it does'], functions),
    table('Events', ['event', 'when'], plain('event', 'events')),
    table('Errors', ['error', 'when'], plain('error', 'errors')),
  ].join('');
}

/** Comments of public variables stand apart; their getters have the variable's name. */
function stateOf(devdoc) {
  const entries = Object.entries(devdoc.stateVariables ?? {});
  return Object.fromEntries(entries.map(([name, docs]) => [`${name}()`, docs]));
}

const contracts = names
  .map((name) => name.slice(0, -4))
  .filter((name) => new RegExp(`^contract ${name}\\b`, 'm').test(sources[`${name}.sol`].content));
const text = `# System contracts: functions, events, errors

Made from the sources in \`chain/contracts\` by \`node scripts/contract-docs.mjs\`; do not edit. What the contracts are for and where they stand is in [system-contracts](system-contracts.md). Amounts are wei unless a name says gwei.
${contracts.map(section).join('')}`;
if (!process.argv.includes('--check')) writeFileSync(target, text);
else if (readFileSync(target, 'utf8') !== text) {
  console.error('docs/protocol/system-abi.md is out of date: run node scripts/contract-docs.mjs');
  process.exitCode = 1;
}
