// Owns how much memory an engine of this machine may take: the configured number, or what system and control group leave.

import { freemem } from 'node:os';

/** Share of what is free that one engine may plan for: other threads, the chain and the page cache need the rest. */
const SHARE = 0.8;

/** Bytes an engine may take, and where the number comes from. `configuredMb` 0 asks the system. */
export function memoryLimit(configuredMb: number): Readonly<{ limitBytes: number; limitSource: string }> {
  if (configuredMb > 0) return { limitBytes: configuredMb * 2 ** 20, limitSource: 'engine_memory_mb' };
  // Free memory as the system sees it, or as the control group does, whichever is less.
  const available = Math.min(freemem(), process.availableMemory());
  return { limitBytes: Math.floor(SHARE * available), limitSource: `${100 * SHARE}% of the memory available` };
}
