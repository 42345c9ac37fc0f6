// Owns the page's data: asks the REST routes in turn and shows what they say.

import { drawChart } from '/chart.js';
import { startChat } from '/chat.js';
import { ago, amount, byId, fill, get, loss, make, number, put, row, short } from '/dom.js';
import { startWallet } from '/wallet.js';

/** Seconds between two looks at the fast and the slow figures. */
const FAST_MS = 2000;
const SLOW_MS = 6000;

const STATES = { accepted: 'good', canary: 'good', finalised: 'good', rejected: 'bad', slashed: 'bad', absent: 'warn' };
const VERDICTS = { valid: 'good', invalid: 'bad', unavailable: 'warn' };

function showStatus(status) {
  put('node-line', `${status.node_id} · ${status.is_authority ? 'authority' : 'node'} · chain ${status.chain_id} · ${status.version}`);
  put('height', number(status.blockchain_height));
  put('height-sub', `${number(status.pending_transactions)} pending`);
  put('loss', loss(status.current_loss));
  put('loss-sub', `epoch ${status.current_epoch}`);
  byId('chat-model').replaceChildren(chatModel(status), short(status.model_root));
  put('peers', number(status.peers));
  const health = byId('health');
  health.textContent = status.syncing ? 'syncing' : 'live';
  health.className = `pill ${status.syncing ? 'warn' : 'good'}`;
  const warnings = byId('warnings');
  warnings.hidden = status.warnings.length === 0;
  warnings.replaceChildren(...status.warnings.map((text) => make('li', {}, text)));
}

function chatModel({ chat_available: available, chat_model_round: round, model_parameters: parameters }) {
  if (!available) return 'this node serves no model · ';
  const which = round === null ? 'untrained weights' : `model of round ${round}`;
  return `${which}, ${number(parameters)} parameters · `;
}

function showTraining(training) {
  put('round', training.round === null ? '–' : number(training.round));
  const step = training.step === null ? '' : ` · step ${training.step} of ${training.steps_per_round}`;
  put('round-sub', `${training.phase}${step}`);
  const speed = training.tokens_per_second === null ? '' : ` · ${number(Math.round(training.tokens_per_second))} tokens/s`;
  const drawn = drawChart(byId('chart'), training.loss_curve);
  put('chart-note', drawn ? `${number(training.accepted_rounds)} rounds accepted, ${number(training.tokens_trained)} tokens trained${speed}` : 'No round has been accepted yet.');
}

function showSupply(supply) {
  put('minted', amount(supply.minted));
  put('minted-sub', `POL of ${amount(supply.total)} in all`);
}

function contribution(entry) {
  const verdicts = entry.verdicts.map(({ authority, verdict, step }) =>
    make('span', { class: `chip ${VERDICTS[verdict] ?? ''}`, title: authority }, step === null ? verdict : `${verdict} at step ${step}`),
  );
  return make('div', {}, short(entry.trainer), ' ', make('span', { class: `chip ${STATES[entry.state] ?? ''}` }, entry.state), ...verdicts);
}

function showRounds({ items }) {
  const rows = items.map((round) => {
    const who = make('td', { class: 'chips' }, ...round.contributions.map(contribution));
    const state = make('span', { class: `chip ${STATES[round.phase] ?? ''}` }, round.phase);
    return row(number(round.round), state, loss(round.held_out_loss), amount(round.minted), who, short(round.model_root));
  });
  fill(byId('rounds'), rows, 'No round has opened yet.');
}

function showTrainers({ items }) {
  const rows = items.map((trainer) =>
    row(
      short(trainer.address),
      amount(trainer.stake),
      number(trainer.capacity),
      number(trainer.rounds_accepted),
      number(trainer.rounds_rejected),
      amount(trainer.earned),
      amount(trainer.slashed),
    ),
  );
  fill(byId('trainers'), rows, 'No trainer is registered.');
}

function showNetwork(network) {
  put('peers-sub', `${network.authorities.length} ${network.authorities.length === 1 ? 'authority' : 'authorities'}`);
  put('quorum', `${network.quorum} of ${network.authorities.length} authorities finalise a block.`);
  const authorities = network.authorities.map(({ address, active }) =>
    row(short(address), make('span', { class: `chip ${active ? 'good' : 'warn'}` }, active ? 'authority' : 'authority, silent'), '–', '–'),
  );
  const peers = network.peers.map((peer) =>
    row(peer.node_id ?? short(peer.peer_id), `${peer.is_authority ? 'authority' : 'node'}, ${peer.direction}`, number(peer.height), make('span', { class: 'mono' }, peer.address)),
  );
  fill(byId('network'), [...authorities, ...peers], 'Nobody is connected.');
}

function showBlocks({ items }, newest) {
  const rows = items.map((block) =>
    row(number(block.number), `${ago(newest - block.timestamp)} ago`, number(block.transaction_count), short(block.author)),
  );
  fill(byId('blocks'), rows, 'No block yet.');
}

async function showBalance(event) {
  event.preventDefault();
  const into = byId('balance');
  try {
    const found = await get(`/api/v1/balance/${encodeURIComponent(byId('balance-address').value.trim())}`);
    into.replaceChildren(make('p', { class: 'big' }, `${found.balance} POL`), make('p', { class: 'quiet' }, `nonce ${found.nonce}`));
  } catch (error) {
    into.replaceChildren(make('p', { class: 'quiet' }, error.message));
  }
}

/** Runs `look` again and again, but not while the page is hidden. */
function repeat(look, everyMs) {
  const turn = async () => {
    if (!document.hidden) {
      try {
        await look();
      } catch {
        put('health', 'not reachable');
        byId('health').className = 'pill bad';
      }
    }
    setTimeout(turn, everyMs);
  };
  turn();
}

repeat(async () => {
  showStatus(await get('/api/v1/status'));
  showTraining(await get('/api/v1/training/status'));
}, FAST_MS);
repeat(async () => {
  const network = await get('/api/v1/network/info');
  showNetwork(network);
  showBlocks(await get('/api/v1/blocks?limit=8'), network.block_timestamp);
  showSupply(await get('/api/v1/supply'));
  showRounds(await get('/api/v1/rounds?limit=8'));
  showTrainers(await get('/api/v1/trainers'));
}, SLOW_MS);
byId('balance-form').addEventListener('submit', showBalance);
put('rpc-url', location.origin);
startChat();
startWallet(async () => (await get('/api/v1/network/info')).chain_id);
