// Owns the addresses a node remembers: of whom, from whom, how many of one subnet, and in which order they are tried. An attacker
// with many addresses must not fill it, nor be more likely to be tried than its subnets are.

import type { Hex } from '../base/bytes.ts';
import type { Prng } from '../base/prng.ts';
import { parseAddress } from './addresses.ts';
import type { PeerKey } from './api.ts';
import type { NetLimits } from './limits.ts';
import type { SubnetOf } from './subnets.ts';

/** When an address may be dialled again. */
export type Schedule = { nextMs: number; waitMs: number; dialling: boolean };

/** A peer heard of or met. */
export type Known = Schedule & {
  readonly peer: PeerKey;
  addresses: readonly string[];
  /** What it counts against: the subnet of its addresses, or itself where there is no limit. */
  group: string;
  /** Subnet of whom this was heard from, or its peer id; null for what an earlier run remembered. */
  readonly source: string | null;
  /** It has been a peer, whoever dialled. */
  hasJoined: boolean;
  /** This node reached it at these addresses. */
  wasReached: boolean;
  readonly isAnchor: boolean;
  /** Authority key the peer proved when it last joined, or is said to have. */
  authority: Hex | null;
};

export type Entry = Pick<Known, 'peer' | 'addresses' | 'source' | 'authority' | 'isAnchor'>;

export type AddressBook = Readonly<{
  get(peer: PeerKey): Known | undefined;
  values(): Iterable<Known>;
  /** Takes in a peer not known yet, when there is room for it. */
  add(entry: Entry, schedule: Schedule): void;
  /** Replaces the addresses of a known peer. */
  move(known: Known, addresses: readonly string[]): void;
  /** Peers in the order they are to be tried: anchors, then one of each subnet in turn, by chance. */
  order(): readonly Known[];
}>;

export type AddressBookOptions = Readonly<{
  limits: NetLimits;
  subnetOf: SubnetOf;
  isConnected(peer: PeerKey): boolean;
  chance: Prng;
}>;

/** Host of an address, as people or multiaddrs write it. */
export function hostOf(text: string): string {
  const address = parseAddress(text);
  return address.ok ? address.value.host : '';
}

export function createAddressBook(options: AddressBookOptions): AddressBook {
  const { limits, subnetOf, isConnected, chance } = options;
  const book = new Map<PeerKey, Known>();

  function groupOf(peer: PeerKey, addresses: readonly string[]): string {
    for (const text of addresses) {
      const subnet = subnetOf(hostOf(text));
      if (subnet !== null) return subnet;
    }
    return peer;
  }

  function hasRoom(entry: Entry, group: string): boolean {
    let [sameSource, sameSubnet] = [0, 0];
    for (const known of book.values()) {
      if (known.wasReached) continue;
      if (entry.source !== null && known.source === entry.source) sameSource += 1;
      if (known.group === group) sameSubnet += 1;
    }
    if (sameSource >= limits.bookPerSource || sameSubnet >= limits.bookPerSubnet) return false;
    return book.size < limits.addressBook || forgetOne();
  }

  /** Hearsay goes first, then whoever came by itself; what this node reached stays. */
  function forgetOne(): boolean {
    const gone = [...book.values()].filter(({ peer, dialling }) => !dialling && !isConnected(peer));
    const victim = gone.find(({ hasJoined, wasReached }) => !hasJoined && !wasReached) ?? gone.find(isUntried);
    return victim !== undefined && book.delete(victim.peer);
  }

  function shuffled<T>(list: readonly T[]): T[] {
    const keyed = list.map((value) => ({ value, at: chance.u32() }));
    return keyed.sort((a, b) => a.at - b.at).map(({ value }) => value);
  }

  return {
    get: (peer) => book.get(peer),
    values: () => book.values(),
    add(entry, schedule) {
      const group = groupOf(entry.peer, entry.addresses);
      if (book.has(entry.peer) || !hasRoom(entry, group)) return;
      book.set(entry.peer, { ...schedule, ...entry, group, hasJoined: false, wasReached: false });
    },
    move(known, addresses) {
      known.addresses = addresses;
      known.group = groupOf(known.peer, addresses);
    },
    order() {
      const anchors = [...book.values()].filter(({ isAnchor }) => isAnchor);
      const groups = new Map<string, Known[]>();
      for (const known of shuffled([...book.values()].filter(({ isAnchor }) => !isAnchor))) {
        groups.set(known.group, [...(groups.get(known.group) ?? []), known]);
      }
      const turns = shuffled([...groups.values()]);
      const longest = turns.reduce((most, { length }) => Math.max(most, length), 0);
      const rest = Array.from({ length: longest }, (_, i) => turns.flatMap((group) => group[i] ?? []));
      return [...anchors, ...rest.flat()];
    },
  };
}

const isUntried = ({ wasReached }: Known): boolean => !wasReached;
