// Owns the limits of the node layer, each with its unit; the relations between them are checked when this file loads.

import { check } from '../base/check.ts';

/** Bytes of a config file. */
export const CONFIG_FILE_BYTES = 1 << 20;
/** Bytes of a keystore file. */
export const KEYSTORE_FILE_BYTES = 16_384;
/** Bytes of a password file. */
export const PASSWORD_FILE_BYTES = 4_096;
/** Bytes of memory scrypt may use; twice what the keystores written here need. */
export const SCRYPT_MEMORY_BYTES = 512 << 20;
/** Characters of a node id. */
export const NODE_ID_CHARACTERS = 64;
/** Boot nodes in a config. */
export const BOOT_NODES = 64;
/** Addresses a node may announce; a peer status carries no more. */
export const ANNOUNCED_ADDRESSES = 6;
/** Authorities a network can be made with. */
export const AUTHORITIES = 100;
/** Regular nodes a network can be made with by one command. */
export const REGULAR_NODES = 64;
/** Milliseconds a stopping node may take before it is forced. */
export const STOP_MS = 10_000;
/** Nice values of threads: votes come first, then answers that somebody waits for, then rounds and audits. */
export const PROOF_NICE = 5;
export const ENGINE_NICE = { chat: 5, audit: 10, train: 10, dispute: 10, challenge: 12 } as const;
/** Proofs of double signing waiting to be sent. */
export const OPEN_EVIDENCE = 64;
/** Blocks an authority gives the one before it to bring evidence to the chain. */
export const EVIDENCE_TURN_BLOCKS = 3;
/** Rounds an authority keeps notes and hidden verdicts of. */
export const ROUNDS_NOTED = 4;
/** Characters of a file of hidden verdicts: 64 records of 38 bytes as hex, with room. */
export const VERDICT_FILE_BYTES = 8_192;
/** Blocks before the end of the audit at which verdicts are committed as they are. */
export const SEAL_MARGIN_BLOCKS = 4;
/** Suspicions, rechecks and trials of authorities that one node follows at a time. */
export const OPEN_TRIALS = 256;
/** Canary layers a trainer has of one key, used one after the other. */
export const CANARY_LAYERS = 4_096;
/** Blocks after which a protocol transaction that was not included is signed again. */
export const RESEND_BLOCKS = 8;
/** Protocol transactions of one node that may be outstanding, and finished ones it remembers. */
export const PROTOCOL_TRANSACTIONS = 1_024;
/** Gas added to an estimate, in percent: state may move before inclusion. */
export const GAS_MARGIN_PERCENT = 50;
/** Milliseconds a node's clock may differ from the median of the authorities' before it stops validating. */
export const CLOCK_TOLERANCE_MS = 5_000;
/** Milliseconds among peers before a restarted authority signs: two peer exchanges, in which its twin would be met. */
export const TWIN_WATCH_MS = 4_000;
/** Milliseconds a transaction waits for others to go to the peers with; bytes and number at which they go at once. One more
 * transaction of the largest size still fits into a message. */
export const GOSSIP_WAIT_MS = 20;
export const GOSSIP_BATCH_BYTES = 64 << 10;
export const GOSSIP_BATCH_TRANSACTIONS = 1_024;
/** Transactions a batch must have to be worth a turn to the recovery thread, batches that may wait for it, and senders it has
 * found that nobody has asked for. */
export const RECOVERY_LEAST = 8;
export const RECOVERY_BATCHES = 64;
export const RECOVERY_SENDERS = 16_384;
/** Votes kept for a key that has to wait before it may sign them. */
export const OWED_VOTES = 8;
/** Blocks of a run that make it worth starting the proof thread. */
export const EXAMINE_LEAST = 64;
/** Blocks asked of a peer in one request. */
export const SYNC_BLOCKS = 256;
/** Runs of blocks that may have come and not be taken in yet when another is asked for. */
export const RUNS_AHEAD = 2;
/** Bytes of one answer to a request for blocks. */
export const SYNC_BYTES = 8 << 20;
/** Milliseconds after which the next peer is asked beside one that has not answered, and peers that are asked at a time. */
export const ASK_NEXT_MS = 3_000;
export const ASKED_ABREAST = 3;
/** Peers asked for one blob, and of each role for one state, before it counts as unavailable. */
export const FETCH_PEERS = 16;
/** Bytes of step states one trainer keeps on disk for auditors and for going on after a crash. */
export const ROUND_STATE_BYTES = 2 ** 31;
/** Bytes of one step state asked of a peer. */
export const STATE_BYTES = 256 << 20;
/** Rounds whose step states a trainer keeps. */
export const ROUNDS_KEPT = 2;
/** Rounds whose final states a node keeps where moments are carried, whatever their size: of the round before, and for trials. */
export const FINAL_ROUNDS_KEPT = 4;
/** Further ones are kept up to so many rounds, and so many bytes: a challenge may be about a round of the newest 64. */
export const FINAL_ROUNDS_KEPT_SMALL = 66;
export const FINAL_STATE_BYTES = 2 ** 31;
/** Blocks between two tries of an audit whose data is not to be had. */
export const AUDIT_RETRY_BLOCKS = 5;
/** Tries of an audit before it is given as unavailable. */
export const AUDIT_TRIES = 3;
/** Milliseconds a proposer spends on executing transactions of its block. The others execute it too, after it, before their
 * proposal timer of 1,000 ms ends: twice this and the roots must fit, on machines half as fast. */
export const BUILD_BUDGET_MS = 250;
/** The same where one authority decides alone and nobody waits for its proposal: writing the block and its votes takes the rest
 * of a second. */
export const BUILD_ALONE_MS = 750;
/** Rounds the API remembers in detail. */
export const HISTORY_ROUNDS = 10_000;
/** Tokens of one answer that may wait to be read. */
export const CHAT_EVENTS = 65_536;
/** Bytes of the file of known peers: 64 peers of 6 addresses of 200 characters, with room. */
export const KNOWN_PEERS_BYTES = 1 << 17;
/** Milliseconds between two saves of it. */
export const SAVE_PEERS_MS = 60_000;
/** Points of the loss curve the API gives. */
export const LOSS_POINTS = 1_000;
/** Trainers the API lists. */
export const TRAINERS_LISTED = 1_000;
/** Milliseconds between two tries to get a blob the node cannot do without. */
export const BLOB_RETRY_MS = 2_000;
/** Bytes of a genesis file. */
export const GENESIS_FILE_BYTES = 16 << 20;
/** Host names in a config. */
export const ALLOWED_HOSTS = 64;
/** Model parameter files kept on disk, whatever their size. */
export const MODELS_KEPT = 4;
/** Further ones are kept up to so many, and so many bytes: a challenge may be about a round of the newest 64. */
export const MODELS_KEPT_SMALL = 66;
export const MODELS_KEPT_BYTES = 2 ** 31;
/** Newest challenges a trainer looks through when it starts. */
export const CHALLENGES_FOLLOWED = 64;
/** Claims a node follows at a time because it found them false or has them to execute again, and bytes of the file of them. */
export const CLAIMS_FOLLOWED = 64;
export const CLAIMS_FOUND_BYTES = 8_192;
/** Start states of false steps kept for their challenges, each up to STATE_BYTES. */
export const STARTS_KEPT = 4;
/** Rounds of a trainer in which an authority of a new network executes one whole claim of it again (rule W-5). */
export const AUTHORITY_CLAIM_CHECKS = 96;
/** Challenges a node plays at a time. */
export const CHALLENGE_GAMES = 4;
/** Blocks an authority gives the one before it to challenge a claim both found false. */
export const CHALLENGE_TURN_BLOCKS = 10;
/** Blocks between two tries to open or go on with a challenge. */
export const CHALLENGE_RETRY_BLOCKS = 10;
/** Whole POL a challenger keeps for the gas of its moves beside the bond. */
export const CHALLENGE_GAS_RESERVE_POL = 1n;
/** Blocks back in which the question of an open challenge is looked for. */
export const CHALLENGE_LOG_BLOCKS = 900;
/** Bytes of one blob asked of a peer. */
export const BLOB_BYTES = 64 << 20;
/** Characters of one log line's field. */
export const LOG_FIELD_CHARACTERS = 400;

check(MODELS_KEPT >= 2, 'a node keeps at least the base model and the newest one');
check(SCRYPT_MEMORY_BYTES >= 2 * 128 * 131_072 * 8, 'own keystores fit the scrypt limit');
/** Milliseconds between two looks at a challenge while the trainer has to move. */
export const CHALLENGE_WAIT_MS = 500;
