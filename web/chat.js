// Owns the chat box: streams from /v1/chat/completions, can be stopped, and leaves old turns out when they no longer fit.

import { byId, make } from '/dom.js';

const turns = [];
let running = null;

function bubble(kind, text) {
  const element = make('div', { class: `bubble ${kind}` }, text);
  const log = byId('chat-log');
  log.append(element);
  log.scrollTop = log.scrollHeight;
  return element;
}

/** Calls `each` with the data of every event of a stream. */
async function readEvents(body, each) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let held = '';
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    held += value;
    const blocks = held.split('\n\n');
    held = blocks.pop();
    for (const block of blocks) if (block.startsWith('data: ')) each(block.slice(6));
  }
}

async function request(messages, signal) {
  const response = await fetch('/v1/chat/completions', {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    signal,
    body: JSON.stringify({
      model: 'pol-gpt',
      messages,
      stream: true,
      max_tokens: Number(byId('chat-tokens').value) || 64,
      temperature: Number(byId('chat-temperature').value),
    }),
  });
  if (response.ok) return response;
  const { error } = await response.json();
  // The context is short: the oldest exchange makes room, but the question itself is never cut.
  if (error.code === 'context_length_exceeded' && messages.length > 2) return request(messages.slice(2), signal);
  throw new Error(error.message);
}

async function ask(text) {
  turns.push({ role: 'user', content: text });
  bubble('user', text);
  const answer = bubble('assistant waiting', '');
  running = new AbortController();
  byId('chat-send').textContent = 'Stop';
  let said = '';
  try {
    const response = await request(turns, running.signal);
    await readEvents(response.body, (data) => {
      if (data === '[DONE]') return;
      const chunk = JSON.parse(data);
      if (chunk.error) throw new Error(chunk.error.message);
      said += chunk.choices[0]?.delta.content ?? '';
      answer.textContent = said;
      byId('chat-log').scrollTop = byId('chat-log').scrollHeight;
    });
    if (said === '') answer.textContent = '(the model ended at once)';
  } catch (error) {
    if (error.name !== 'AbortError') {
      answer.classList.add('failed');
      answer.textContent = said === '' ? error.message : `${said}\n\n${error.message}`;
    }
  }
  turns.push({ role: 'assistant', content: said });
  answer.classList.remove('waiting');
  running = null;
  byId('chat-send').textContent = 'Send';
}

export function startChat() {
  const input = byId('chat-input');
  const send = () => {
    if (running !== null) return running.abort();
    const text = input.value.trim();
    if (text === '') return;
    input.value = '';
    ask(text);
  };
  byId('chat-form').addEventListener('submit', (event) => {
    event.preventDefault();
    send();
  });
  // While an answer runs the empty field must not keep the button from stopping it.
  byId('chat-send').addEventListener('click', (event) => {
    if (running === null) return;
    event.preventDefault();
    running.abort();
  });
  input.addEventListener('keydown', (event) => {
    if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    if (running === null) send();
  });
  byId('chat-clear').addEventListener('click', () => {
    running?.abort();
    turns.length = 0;
    byId('chat-log').replaceChildren();
  });
}
