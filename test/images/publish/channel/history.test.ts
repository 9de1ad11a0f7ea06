// A channel's past, move by move: what was good in it, for how long, and where a revert goes.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ChannelVersion, MoveReason } from '../../../../images/publish/channel/channel.ts'
import { goodChannelStays, longestStayMs, previousGood } from '../../../../images/publish/channel/history.ts'

/** One move a minute: `A` promotes, `<A` reverts to A, `!A` rolls back to A, `?A` was written by hand. */
const past = (...moves: string[]): ChannelVersion[] =>
  moves.map((text, minute) => {
    const by = ({ '<': 'revert', '!': 'rollback' } as Record<string, MoveReason>)[text[0]!] ?? 'promote'
    const imageId = text.replace(/^[<!?]/, '')
    const note = text.startsWith('?') ? null : { by, digest: `of ${imageId}`, regions: [] }
    return { imageId, atMs: minute * 60_000, note }
  })

for (const [moves, good, previous] of [
  [[], [], undefined],
  [['A'], ['A'], undefined],
  [['A', 'B'], ['A', 'B'], 'A'],
  [['A', 'A', 'B'], ['A', 'B'], 'A'],
  [['A', 'B', '<A'], ['A'], undefined],
  [['A', 'B', 'C', '<B'], ['A', 'B'], 'A'],
  [['A', 'B', 'C', '<A', 'D'], ['A', 'D'], 'A'],
  [['A', 'B', '!A'], ['A'], undefined],
  [['A', 'B', '<A', 'B'], ['A', 'B'], 'A'],
  [['A', 'B', 'A'], ['A', 'B', 'A'], 'B'],
  // AWS keeps a hundred versions: what is gone back to may be older than all of them.
  [['B', 'C', '<A'], ['B', 'A'], 'B'],
  [['?A', 'B'], ['A', 'B'], 'A'],
] as const) {
  test(`after ${moves.join(' ') || 'nothing'}: ${good.join(' ')}, and before it ${previous ?? 'nothing'}`, () => {
    assert.deepEqual(
      goodChannelStays(past(...moves)).map(({ imageId }) => imageId),
      good,
    )
    assert.equal(previousGood(past(...moves))?.imageId, previous)
  })
}

test('a stay is as long as its image was the channel’s, and of none that was taken back', () => {
  const minutes = (moves: string[], image: string) =>
    longestStayMs(past(...moves), image, moves.length * 60_000) / 60_000
  assert.equal(minutes(['A'], 'A'), 1)
  assert.equal(minutes(['A', 'A', 'B'], 'A'), 2)
  assert.equal(minutes(['A', 'B', 'B', 'A'], 'A'), 1)
  assert.equal(minutes(['A', 'B', 'B', '<A'], 'B'), 0)
  assert.equal(minutes(['A', 'B', 'B', '<A'], 'A'), 1)
  assert.equal(minutes(['A', 'B', '!A'], 'A'), 3)
  assert.equal(minutes(['A'], 'B'), 0)
})

test('moved back, a channel is at the image that it was at, whatever the move says of it', () => {
  const moves = past('A', 'B', '!A')
  moves[2]!.note!.digest = null
  assert.deepEqual(goodChannelStays(moves), [{ imageId: 'A', digest: 'of A', sinceMs: 0, untilMs: null }])
})
