// Owns what a JSON-RPC method is: its documentation, cost and handler, and what a handler may use.

import type { Chain } from '../../chain/api.ts';
import type { FeeAdvice } from '../fees.ts';
import type { FilterStore } from '../filters.ts';
import type { RpcLimits } from '../limits.ts';
import type { RpcPorts } from '../ports.ts';

export type MethodContext = Readonly<{
  chain: Chain;
  ports: RpcPorts;
  limits: RpcLimits;
  filters: FilterStore;
  fees: FeeAdvice;
}>;

/** The WebSocket a request came over: what subscriptions hang on. */
export type Session = Readonly<{
  /** Starts a subscription and returns its id. */
  subscribe(kind: unknown, options: unknown): string;
  unsubscribe(id: string): boolean;
}>;

/** Handlers throw FaultError to refuse; what they return is sent as JSON. `session` is null over HTTP. */
export type Method = Readonly<{
  /** Parameters as the documentation prints them; a question mark ends optional ones. */
  params: string;
  summary: string;
  /** Rate units one call takes; 1 when left out. */
  cost?: number;
  /** Called with the arguments of all its calls in a batch, before they run one by one. It refuses nothing. */
  prepare?(context: MethodContext, calls: readonly (readonly unknown[])[]): Promise<void> | undefined;
  run(context: MethodContext, params: readonly unknown[], session: Session | null): unknown;
}>;

export type MethodTable = Readonly<Record<string, Method>>;
