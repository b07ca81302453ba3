// An early exit answers after one of its blocks, which traces call block_1, block_2, ...

/**
 * @param {string} stage
 * @returns {number} The block's number; 0 if the stage is no block.
 */
export function blockNumber(stage) {
  return stage.startsWith("block_") ? Number(stage.slice("block_".length)) : 0;
}

/**
 * @param {{stage: string, stage_times_s: Record<string, number>}} trace
 * @returns {number} Seconds that all blocks took.
 */
export function blocksTime(trace) {
  return Object.entries(trace.stage_times_s).reduce((sum, [stage, time]) => sum + (blockNumber(stage) ? time : 0), 0);
}
