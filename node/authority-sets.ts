// Owns who the authorities of a height are, read from the chain's state. A change decided in block H acts from H + 2, so the
// sets of the next two heights are always known.

import type { Hex } from '../base/bytes.ts';
import { present } from '../base/check.ts';
import { unwrap } from '../base/fault.ts';
import type { Chain } from '../chain/api.ts';
import { AUTHORITIES_ADDRESS, type AuthoritySet } from '../chain/system/api.ts';
import { readAuthoritySet, readLatestSetVersion } from '../chain/system/views.ts';
import { systemView } from './system-view.ts';

export type AuthoritySets = Readonly<{
  /** Set of height head + 1 or head + 2. */
  at(height: number): Promise<AuthoritySet>;
  addresses(height: number): Promise<readonly Hex[]>;
}>;

export function createAuthoritySets(chain: Chain): AuthoritySets {
  let known: { block: number; root: Hex | null; sets: readonly AuthoritySet[] } | null = null;

  const lists = new WeakMap<AuthoritySet, readonly Hex[]>();

  /** The newest set and the one before it, as of the head. */
  async function newest(): Promise<readonly AuthoritySet[]> {
    const block = chain.head().header.number;
    if (known?.block === block) return known.sets;
    // The sets are a function of the contract's storage, which few blocks change. Its root is only told of the head.
    const account = await unwrap(chain.state(block)).account(AUTHORITIES_ADDRESS);
    const root = chain.head().header.number === block ? present(account, 'authorities contract').storageRoot : null;
    if (root !== null && known?.root === root) {
      known = { ...known, block };
      return known.sets;
    }
    const view = systemView(chain, block);
    const version = await readLatestSetVersion(view);
    const sets = [await readAuthoritySet(view, version)];
    if (version > 0 && present(sets[0], 'set').activeFrom > block) sets.push(await readAuthoritySet(view, version - 1));
    known = { block, root, sets };
    return sets;
  }

  async function at(height: number): Promise<AuthoritySet> {
    const sets = await newest();
    return present(sets.find(({ activeFrom }) => activeFrom <= height) ?? sets.at(-1), 'authority set');
  }

  /** One frozen list for each set: what is derived from it is then derived once. */
  async function addresses(height: number): Promise<readonly Hex[]> {
    const set = await at(height);
    const known = lists.get(set);
    if (known !== undefined) return known;
    const list = Object.freeze(set.members.map(({ address }) => address));
    lists.set(set, list);
    return list;
  }

  return { at, addresses };
}
