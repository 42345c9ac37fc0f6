// The balance command: POL of an address, by default the node's own.

import type { CommandModule } from 'yargs';
import { isHex } from '../../base/bytes.ts';
import { FaultError, fault } from '../../base/fault.ts';
import { formatPol } from '../../base/units.ts';
import { callRpc, getJson, nodeOptions } from '../api-client.ts';

type Arguments = { port: number; host: string; json: boolean; address: string | undefined };

export const balanceCommand: CommandModule<object, Arguments> = {
  command: 'balance [address]',
  describe: "show the balance of an address (the node's own when left out)",
  builder: { ...nodeOptions, address: { type: 'string', describe: '0x-address' } } as never,
  async handler(args) {
    const address = args.address ?? String((await getJson(args, '/api/v1/status')).address);
    if (!isHex(address, 20))
      throw new FaultError(fault('address', `address: must be 0x and 40 hex digits, not ${address}`));
    const balance = BigInt((await callRpc(args, 'eth_getBalance', [address, 'latest'])) as string);
    if (args.json)
      console.log(JSON.stringify({ address, balance: balance.toString(), balance_pol: formatPol(balance) }));
    else console.log(`${address}  ${formatPol(balance)} POL`);
  },
};
