// Owns the bounds of the system contracts' bindings, each with its unit and its reason.

/** Bytes of build/chain/contracts.json: the contracts, their ABIs and bytecode (about 0.3 MB). */
export const CONTRACTS_FILE_BYTES = 4 * 1024 * 1024;
/** Gas of a constructor in the scratch EVM: 100 authorities take about 30 million. */
export const CONSTRUCTOR_GAS = 200_000_000n;
/** Members of the first set; the contract's own bound (100-bit masks). */
export const GENESIS_SET_MEMBERS = 100;
/** Seats of a roster; the contract's own bound. */
export const MAX_SEATS = 64;
