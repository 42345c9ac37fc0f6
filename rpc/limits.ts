// Owns every bound of the HTTP side: bodies, batches, sockets, rates, filters, generations. Reasons stand beside the numbers.
// Bounds of execution (call gas, log ranges, pool sizes) are chain/limits.ts.

import { check } from '../base/check.ts';

const MiB = 1_048_576;

export type RpcLimits = Readonly<typeof rpcLimits>;

export const rpcLimits = {
  /** Bytes of a request body: a 128 KiB transaction as hex fits four times over. */
  bodyBytes: MiB,
  /** Bytes of the answer to one JSON-RPC request or batch. */
  replyBytes: 10 * MiB,
  /** Nesting of a JSON body; the deepest standard request has about 8 levels. */
  jsonDepth: 64,
  /** Requests of one batch, as go-ethereum: viem sends up to 1,000 and ethers up to 100, and neither splits on refusal. */
  batchItems: 1_000,
  /** Characters of a JSON-RPC id, so that echoing it stays cheap. */
  idCharacters: 256,
  /** Characters of a URL. */
  urlCharacters: 4_096,

  /** A client must finish its headers, and its whole request, within these. */
  headersMs: 10_000,
  requestMs: 30_000,
  keepAliveMs: 60_000,
  /** A socket on which nothing moves for this long is closed; a plain answer may wait for its generation until then. */
  socketIdleMs: 600_000,
  /** How often node:http looks for sockets over the two limits above. */
  timeoutCheckMs: 2_000,
  headerBytes: 16_384,
  headerCount: 100,
  /** Open sockets in all and from one address; loopback may use all of them. */
  sockets: 400,
  socketsPerAddress: 40,
  /** close() gives running answers this long. */
  closeMs: 1_500,

  /** Token bucket of one address: cost units a second, and how many may be saved up. Loopback is exempt. */
  ratePerSecond: 200,
  rateBurst: 400,
  /** Addresses whose buckets are remembered. */
  rateAddresses: 10_000,

  webSocketMessageBytes: MiB,
  webSocketFragments: 16,
  webSocketBufferedChunks: 1_024,
  webSockets: 200,
  webSocketPingMs: 30_000,
  /** Bytes a client may leave unread before it is cut off. */
  backpressureBytes: 8 * MiB,
  subscriptionsPerSocket: 32,
  /** Requests of one socket that run at once; further ones wait in order. */
  webSocketRunning: 16,
  webSocketWaiting: 256,

  filters: 1_000,
  /** A filter nobody polls for this long is dropped. */
  filterMs: 300_000,
  /** Hashes or logs a filter keeps between polls. */
  filterItems: 10_000,
  /** Addresses of one log filter, and alternatives of one topic position. */
  logAddresses: 1_000,
  logTopics: 1_000,

  feeHistoryBlocks: 1_024,
  feeHistoryPercentiles: 100,
  /** Blocks whose tips the price suggestion looks at. */
  tipBlocks: 20,
  storageValueSlots: 1_024,
  overrideAccounts: 256,
  overrideSlots: 4_096,
  accessListItems: 1_024,
  /** Authorizations of one message: each costs a signature recovery. */
  authorizations: 64,
  /** Blocks of one eth_simulateV1 as given (the chain bounds them with their gaps), and what one of them may hold. */
  simulatedBlocks: 1_024,
  simulatedCalls: 5_000,
  simulatedWithdrawals: 256,
  simulatedBlobs: 16,
  /** Struct logs of one trace and calls of one call trace. */
  traceSteps: 50_000,
  traceCalls: 10_000,
  traceBlockTransactions: 256,
  /** eth_sendRawTransactionSync waits at most this long. */
  syncSendMs: 30_000,
  /** Transactions an ots_ search page may ask for, and most it grows to by the rest of its last block. */
  searchPage: 100,
  searchResults: 2_000,
  /** History entries looked through for one transaction. */
  searchScan: 100_000,

  /** Rows of one REST page. */
  pageRows: 100,
  pageRowsDefault: 25,
  maxLossPoints: 2_000,
  statusCacheMs: 250,

  /** Generations that run at once; each one holds the engine while it runs. */
  generationsRunning: 1,
  /** Generations that wait; one more is answered 429. */
  generationsWaiting: 16,
  /** Wall time of one generation. */
  generationMs: 120_000,
  chatMessages: 512,
  chatParts: 64,
  choices: 8,
  completionPrompts: 16,
  stopStrings: 4,
  stopCharacters: 256,
  topLogprobs: 20,
  completionLogprobs: 5,
  logitBiasEntries: 300,
  metadataEntries: 16,
  /** Comment line that keeps an idle stream open through proxies. */
  streamKeepAliveMs: 10_000,
  /** A client that reads nothing of its stream for this long is cut off. */
  streamStallMs: 15_000,

  /** Hosts of the allowlist, and characters of one. */
  hosts: 64,
  hostCharacters: 255,
} as const;

check(rpcLimits.headersMs < rpcLimits.requestMs, 'limits: headers must be due before the request is');
check(rpcLimits.webSocketMessageBytes <= rpcLimits.bodyBytes, 'limits: a socket may not carry more than a body');
check(rpcLimits.socketsPerAddress <= rpcLimits.sockets, 'limits: one address may not hold more sockets than there are');
check(rpcLimits.webSockets <= rpcLimits.sockets, 'limits: WebSockets are sockets');
check(rpcLimits.closeMs < 2_000, 'limits: close() is promised within 2 s');
