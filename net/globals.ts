// Owns two globals that libp2p expects and Node 20 lacks. Imported before libp2p loads; nothing else may set them.

import { WebSocket as WsWebSocket } from 'ws';
import { NET_LIMITS } from './limits.ts';

type Resolvers<T> = {
  promise: Promise<T>;
  resolve: (value: T | PromiseLike<T>) => void;
  reject: (reason?: unknown) => void;
};

/** Promise.withResolvers (ECMAScript 2024), which Node has from 22 on. */
function withResolvers<T>(): Resolvers<T> {
  let resolve: Resolvers<T>['resolve'] = () => undefined;
  let reject: Resolvers<T>['reject'] = () => undefined;
  const promise = new Promise<T>((onResolve, onReject) => {
    resolve = onResolve;
    reject = onReject;
  });
  return { promise, resolve, reject };
}

/** The dialling side of ws with this network's frame limits; also on newer Nodes, whose own client is slower. */
class LimitedWebSocket extends WsWebSocket {
  constructor(address: string | URL, protocols?: string | string[]) {
    super(address, protocols ?? [], {
      perMessageDeflate: false,
      maxPayload: NET_LIMITS.wsFrameBytes,
      handshakeTimeout: NET_LIMITS.dialMs,
    });
    // The dialler hears of a failed opening through its own listener, and of a later failure through `close`; without
    // this one a bad frame from the remote end would be an unheard `error` event, which ends the process.
    this.on('error', () => undefined);
  }
}

const target = globalThis as unknown as { WebSocket: unknown };
const promise = Promise as unknown as { withResolvers?: unknown };

promise.withResolvers ??= withResolvers;
target.WebSocket = LimitedWebSocket;
