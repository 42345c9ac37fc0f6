// Owns what a world does to messages, clocks and nodes: links cut by twins' sides and by phase, loss, delay, floods, skew,
// crashes. Each answer is a pure function of the seed and its place, so leaving one fault out changes no other.

import { draw } from './event-queue.ts';
import type { FaultGate } from './fault-gate.ts';
import type { Faults } from './faults.ts';
import type { Message, Node } from './world-parts.ts';

export class Links {
  readonly #seed: number;
  readonly #faults: Faults;
  readonly #gate: FaultGate;

  constructor(seed: number, faults: Faults, gate: FaultGate) {
    this.#seed = seed;
    this.#faults = faults;
    this.#gate = gate;
  }

  /** Milliseconds until `target`, the node at `to`, has the message; null when it never does. */
  delay(source: Node, target: Node, to: number, message: Message, isChaos: boolean): number | null {
    if (!this.#isLinked(source, target, message, isChaos)) return null;
    const { lossPercent, delayMs } = this.#faults;
    const chance = draw(this.#seed, 1, message.id, to);
    if (isChaos && chance % 100 < lossPercent && this.#gate.admits('loss', message.id, to)) return null;
    if (isChaos && delayMs > 20 && this.#gate.admits('delay', message.id, to)) return 1 + ((chance >>> 8) % delayMs);
    return 1 + ((chance >>> 8) % 20);
  }

  /** Whether a faulty source floods the node at `to` behind this message. */
  isFlooded(to: number, message: Message): boolean {
    if (draw(this.#seed, 6, message.id, to) % 100 >= this.#faults.floodPercent) return false;
    return this.#gate.admits('flood', message.id, to);
  }

  /** Whether an honest node, the one at `at`, crashes at its next effect. */
  isCrashing(node: Node, at: number): boolean {
    const { crashPerMillion, crashAt } = this.#faults;
    if (crashPerMillion === 0 && crashAt === null) return false;
    node.effects++;
    const isDue = crashAt !== null && crashAt.node === at && crashAt.effect === node.effects;
    if (!isDue && draw(this.#seed, 11, at, node.effects) % 1_000_000 >= crashPerMillion) return false;
    return this.#gate.admits('crash', at, node.effects);
  }

  /** Milliseconds by which an honest node's clock is off. */
  skew(node: Node): number {
    const { skewMs } = this.#faults;
    const isOff = skewMs > 0 && node.isHonest && this.#gate.admits('skew', node.index);
    return isOff ? (draw(this.#seed, 15, node.index) % (2 * skewMs + 1)) - skewMs : 0;
  }

  /** Twins see one side each; honest links are cut by (height, round, phase, source, destination). */
  #isLinked(source: Node, target: Node, message: Message, isChaos: boolean): boolean {
    if (source.name === target.name) return false;
    const { height, round, phase } = message;
    if (source.twin !== 0 && this.#side(target, height) === 3 - source.twin) return false;
    if (target.twin !== 0 && this.#side(source, height) === 3 - target.twin) return false;
    const { cutPercent, cutRounds } = this.#faults;
    if (!isChaos || round >= cutRounds || cutPercent === 0) return true;
    if (draw(this.#seed, 3, height, round, phase, source.index, target.index) % 100 >= cutPercent) return true;
    return !this.#gate.admits('cut', height, round, phase, source.index, target.index);
  }

  /** The twin a node talks to in a height: 1, 2, or 0 for both. */
  #side(node: Node, height: number): number {
    return this.#faults.shared ? 0 : 1 + (draw(this.#seed, 2, height, node.index) % 2);
  }
}
