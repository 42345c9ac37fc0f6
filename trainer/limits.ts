// Owns every limit of this layer: sizes of vocabularies, datasets, rounds, updates and files that come from outside.

/** Ids are stored as 16-bit words. */
export const MAX_VOCAB = 65_536;
/** 256 bytes and the special tokens must fit. */
export const MIN_VOCAB = 260;
/** Characters of a serialised tokenizer; a full vocabulary needs under 2 MB. */
export const MAX_TOKENIZER_CHARACTERS = 4_000_000;

/** Tokens of a token file: 2^30 words are 2 GiB, the most one buffer holds comfortably. */
export const MAX_DATASET_TOKENS = 2 ** 30;
export const MAX_SEQUENCE_LENGTH = 8_192;
/** Characters of a manifest. */
export const MAX_MANIFEST_CHARACTERS = 65_536;
export const MAX_MANIFEST_NOTES = 16;
export const MAX_NOTE_CHARACTERS = 500;

/** Inner steps of one learning round. */
export const MAX_STEPS = 1_024;
/** Sequences of one inner step at capacity 1. */
export const MAX_BATCH = 1_024;
/** Optimizer updates of one step: a challenge answers with a root for every tensor of all of them. */
export const MAX_UPDATES = 16;
/** Roots of one answer to a challenge: with its openings they stay below the 128 KiB of a transaction, and 8 million gas. */
export const MAX_DISPUTE_ENTRIES = 3_900;
/** Trainers of one round: the chain freezes at most this many. */
export const MAX_SLOTS = 64;
/** Capacity of one trainer. */
export const MAX_CAPACITY = 64;
/** Parameters of one model; bounds updates, states and checkpoints before anything is allocated. */
export const MAX_PARAMETERS = 2 ** 31;
/** Bytes of a residual on disk: what Node reads of one file at a time. */
export const MAX_RESIDUAL_BYTES = 2 ** 31 - 1;
/** Held-out sequences that one evaluation runs over. */
export const MAX_HELD_OUT_SEQUENCES = 4_096;

/** Learning rates of a schedule, and bias corrections, that differ: tables a challenge opens one of. */
export const MAX_SCHEDULE_RATES = 2 ** 20;
