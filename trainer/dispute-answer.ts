// Owns the trainer's side of a challenge: the answer to it, and what it discloses when asked. Rules R of
// docs/protocol/challenges.md.

import { type Hex, toHex } from '../base/bytes.ts';
import { present } from '../base/check.ts';
import { open } from '../base/merkle.ts';
import {
  type Disclosure,
  type ProgramProof,
  type StepAnswer,
  type TraceLeaf,
  type TreeNode,
  disclosureOf,
} from '../chain/system/challenges.ts';
import { type DisputedStep, disputeList, treeOfRoot } from './dispute-find.ts';
import { discloseNode } from './dispute-tree.ts';
import { type StepLeaf, stepLeafHash } from './leaf.ts';

export type DisputeAnswer = Readonly<{
  answer: StepAnswer;
  /** What the node asked for holds; null when it is in none of the step's trees. */
  disclose(node: TreeNode): Disclosure | null;
}>;

const traceLeaf = ({ stateRoot, dataRoot, gradRoot, lossBits }: StepLeaf): TraceLeaf => ({
  stateRoot: toHex(stateRoot),
  dataRoot: toHex(dataRoot),
  gradRoot: toHex(gradRoot),
  lossBits,
});

/** A leaf of a trace with its siblings. */
export function openTraceLeaf(
  leaves: readonly StepLeaf[],
  step: number,
): Readonly<{ leaf: TraceLeaf; siblings: readonly Hex[] }> {
  const hashes = leaves.map(stepLeafHash);
  return {
    leaf: traceLeaf(present(leaves[step], 'leaf')),
    siblings: open(hashes, step).siblings.map((hash) => toHex(hash)),
  };
}

/** The answer to a challenge of a step; null when the step has no result, so that there is nothing to answer with. */
export function answerStep(
  step: DisputedStep,
  leaves: readonly StepLeaf[],
  program: ProgramProof,
): DisputeAnswer | null {
  const result = disputeList(step);
  if (result === null) return null;
  const { leaf, siblings } = openTraceLeaf(leaves, step.step);
  const before = openTraceLeaf(leaves, Math.max(step.step - 1, 0));
  return {
    answer: {
      program,
      leaf,
      siblings,
      earlier: before.leaf,
      earlierSiblings: step.step === 0 ? [] : before.siblings,
      roots: result.roots.map((root) => toHex(root)),
    },
    disclose(node) {
      const tree = treeOfRoot(step, node.root, result);
      if (tree === null) return null;
      const { nodes, leaf: bytes, siblings: above } = discloseNode(tree, node.level, node.index);
      return disclosureOf(nodes, bytes, above);
    },
  };
}
