// The send command: a POL transfer, signed here with a key file and handed to a node; waits for the receipt.

import type { CommandModule } from 'yargs';
import { type Hex, isHex, toHex } from '../../base/bytes.ts';
import { FaultError, fault } from '../../base/fault.ts';
import { formatPol, parsePol } from '../../base/units.ts';
import { systemClock } from '../../node/clock.ts';
import { signTransaction } from '../../node/wallet.ts';
import { type NodeAddress, callRpc, nodeOptions } from '../api-client.ts';
import { openWallet } from '../wallet-files.ts';

type Arguments = {
  port: number;
  host: string;
  json: boolean;
  to: string;
  amount: string;
  keystore: string | undefined;
  'password-file': string | undefined;
  'config-file': string | undefined;
};

/** Gas of a plain transfer (yellow paper, G_transaction). */
const TRANSFER_GAS = 21_000n;
const RECEIPT_POLLS = 120;
const POLL_MS = 250;

const quantity = (value: unknown): bigint => BigInt(value as string);

async function receiptOf(node: NodeAddress, hash: Hex): Promise<Record<string, string>> {
  for (let poll = 0; poll < RECEIPT_POLLS; poll++) {
    const receipt = await callRpc(node, 'eth_getTransactionReceipt', [hash]);
    if (receipt !== null) return receipt as Record<string, string>;
    await systemClock.sleep(POLL_MS);
  }
  throw new FaultError(
    fault('receipt', `${hash} was accepted but is in no block after ${(RECEIPT_POLLS * POLL_MS) / 1_000} s`),
  );
}

export const sendCommand: CommandModule<object, Arguments> = {
  command: 'send',
  describe: 'send POL and wait until it is final',
  builder: {
    ...nodeOptions,
    to: { type: 'string', demandOption: true, describe: 'recipient, 0x-address' },
    amount: { type: 'string', demandOption: true, describe: 'POL, for example 10.0' },
    keystore: { type: 'string', describe: 'encrypted key file to send from' },
    'password-file': { type: 'string', describe: 'file that holds its password' },
    'config-file': { type: 'string', describe: 'config of the node whose key to send from' },
  } as never,
  async handler(args) {
    // yargs turns 0x-strings into numbers unless typed; a checksum-cased address is welcome too.
    const to = String(args.to).toLowerCase();
    if (!isHex(to, 20)) throw new FaultError(fault('to', `--to: must be 0x and 40 hex digits, not ${args.to}`));
    const value = parsePol(String(args.amount));
    if (value === null)
      throw new FaultError(fault('amount', `--amount: must be POL with at most 18 decimals, not ${args.amount}`));
    const wallet = await openWallet({
      keystore: args.keystore,
      passwordFile: args['password-file'],
      configFile: args['config-file'],
      port: args.port,
    });
    const [chainId, nonce, tip, block] = await Promise.all([
      callRpc(args, 'eth_chainId', []),
      callRpc(args, 'eth_getTransactionCount', [wallet.address, 'pending']),
      callRpc(args, 'eth_maxPriorityFeePerGas', []),
      callRpc(args, 'eth_getBlockByNumber', ['latest', false]),
    ]);
    const baseFee = quantity((block as { baseFeePerGas: string }).baseFeePerGas);
    const { raw, hash } = signTransaction(
      {
        chainId: quantity(chainId),
        nonce: quantity(nonce),
        maxPriorityFeePerGas: quantity(tip),
        maxFeePerGas: 2n * baseFee + quantity(tip),
        gas: TRANSFER_GAS,
        to,
        value,
        data: new Uint8Array(0),
      },
      wallet.secretKey,
    );
    await callRpc(args, 'eth_sendRawTransaction', [toHex(raw)]);
    const receipt = await receiptOf(args, hash);
    const succeeded = receipt.status === '0x1';
    if (args.json) console.log(JSON.stringify({ hash, block: Number(receipt.blockNumber), succeeded }));
    else
      console.log(
        `${succeeded ? 'sent' : 'FAILED'} ${formatPol(value)} POL from ${wallet.address} to ${to}\n${hash} in block ${Number(receipt.blockNumber)}`,
      );
    if (!succeeded) process.exitCode = 1;
  },
};
