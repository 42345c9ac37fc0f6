// Owns which addresses count as one party's, so that many of them weigh no more than one: subnets of public addresses, and how
// crowded one is. Loopback and private networks are not limited: test networks, laboratories and proxies live there.

import { isLocal, subnetOf } from './addresses.ts';
import type { NetLimits } from './limits.ts';

/** The subnet a host counts against, or null for a host without a limit. */
export type SubnetOf = (host: string) => string | null;

/** The /24 of an IPv4 address, the /48 of an IPv6 one, a host name itself; null for hosts of this machine or its network. */
export const publicSubnet: SubnetOf = (host) => (isLocal(host) ? null : subnetOf(host));

type Share = Pick<NetLimits, 'maxPerIp' | 'maxPerSubnet'>;

/** True when a host, or its subnet, already holds its share of the inbound places that `others` have. */
export function isCrowded(host: string, others: readonly string[], limits: Share, subnet: SubnetOf): boolean {
  const own = subnet(host);
  if (own === null) return false;
  const sameIp = others.filter((other) => other === host).length;
  const sameSubnet = others.filter((other) => subnet(other) === own).length;
  return sameIp >= limits.maxPerIp || sameSubnet >= limits.maxPerSubnet;
}
