// Which images stay: each reason by itself, and what goes when there is none.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ChannelVersion } from '../../../../images/publish/channel/channel.ts'
import type { Inventory, KnownImage } from '../../../../images/publish/retention/inventory.ts'
import { retentionVerdicts } from '../../../../images/publish/retention/retention.ts'

const DAY = 86_400_000
const NOW = Date.parse('2026-06-01T00:00:00Z')
const options = { keep: 2, graceMs: 14 * DAY, nowMs: NOW }

/** Old, deprecated for long, and used by nothing: whatever keeps it is what a test adds. */
const image = (imageId: string, o: Partial<KnownImage> = {}): KnownImage => ({
  imageId,
  digest: `of ${imageId}`,
  architecture: 'x86_64',
  state: 'available',
  snapshotId: `snap-${imageId}`,
  createdMs: NOW - 100 * DAY,
  deprecatedMs: NOW - 50 * DAY,
  references: [],
  sharedWith: 0,
  ...o,
})
const NEWEST = image('newest', { createdMs: NOW - 2 * DAY })
const moves = (...ids: string[]): ChannelVersion[] =>
  ids.map((imageId, i) => ({
    imageId,
    atMs: NOW - (90 - i) * DAY,
    note: { by: 'promote', digest: `of ${imageId}`, regions: [] },
  }))

function verdictOn(subject: KnownImage, rest: Partial<Inventory> = {}) {
  const inventory = { region: 'eu-west-1', snapshots: [], channels: [], ...rest, images: [NEWEST, subject] }
  const { action, reasons } = retentionVerdicts(inventory, options).find(({ id }) => id === subject.imageId)!
  return `${action}: ${reasons.join('; ')}`
}

for (const [name, subject, rest, expected] of [
  ['old and unused', image('a'), {}, 'delete: deprecated since 2026-04-12, and used by nothing'],
  [
    'not deprecated yet',
    image('a', { deprecatedMs: null }),
    {},
    'deprecate: used by nothing, and good in no channel of late',
  ],
  [
    'deprecated not long ago',
    image('a', { deprecatedMs: NOW - DAY }),
    {},
    'keep: deprecated on 2026-05-31; goes after 2026-06-14',
  ],
  [
    'deprecated for the time of grace to the millisecond',
    image('a', { deprecatedMs: NOW - 14 * DAY }),
    {},
    'delete: deprecated since 2026-05-18, and used by nothing',
  ],
  [
    'deprecated a millisecond less than the time of grace',
    image('a', { deprecatedMs: NOW - 14 * DAY + 1 }),
    {},
    'keep: deprecated on 2026-05-18; goes after 2026-06-01',
  ],
  [
    'deprecated at a time that nobody knows',
    image('a', { deprecatedMs: NaN }),
    {},
    'keep: deprecated on an unknown day; goes after an unknown day',
  ],
  [
    'made the time of grace ago to the millisecond',
    image('a', { createdMs: NOW - 14 * DAY, deprecatedMs: null }),
    {},
    /^deprecate: /,
  ],
  [
    'made a millisecond less than the time of grace ago',
    image('a', { createdMs: NOW - 14 * DAY + 1, deprecatedMs: null }),
    {},
    'keep: made on 2026-05-18, not long ago',
  ],
  [
    'young, and deprecated long ago',
    image('a', { createdMs: NOW - 13 * DAY, deprecatedMs: NOW - 50 * DAY }),
    {},
    'keep: made on 2026-05-19, not long ago',
  ],
  ['young', image('a', { createdMs: NOW - 13 * DAY }), {}, /^keep: made on 2026-05-19, not long ago/],
  ['of a time that nobody knows', image('a', { createdMs: NaN }), {}, /^keep: made on an unknown day/],
  [
    'used',
    image('a', {
      references: ['ec2:Instance 1', 'ec2:Instance 2', 'ssm:Parameter p', 'ec2:LaunchTemplate t'],
    }),
    {},
    'keep: used by ec2:Instance 1; used by ec2:Instance 2; used by ssm:Parameter p; and by 1 more',
  ],
  ['shared', image('a', { sharedWith: 2 }), {}, 'keep: shared with 2 others, whose use cannot be seen'],
  ['being made', image('a', { state: 'pending' }), {}, 'keep: being made'],
  [
    'a channel’s own',
    image('a'),
    { channels: [{ channel: 'prod', moves: moves('b', 'a') }] },
    'keep: the image of channel prod',
  ],
  [
    'good before',
    image('a'),
    { channels: [{ channel: 'prod', moves: moves('a', 'b') }] },
    'keep: one of the last 2 good ones of channel prod',
  ],
  ['good long ago', image('a'), { channels: [{ channel: 'prod', moves: moves('a', 'b', 'c') }] }, /^delete/],
  [
    'gone back to, so counted once',
    image('a'),
    { channels: [{ channel: 'prod', moves: moves('a', 'b', 'c', 'b', 'c') }] },
    /^delete/,
  ],
  [
    'good of late in one channel of two',
    image('a'),
    {
      channels: [
        { channel: 'dev', moves: moves('a', 'b', 'c') },
        { channel: 'prod', moves: moves('a') },
      ],
    },
    'keep: the image of channel prod',
  ],
] as const) {
  test(name, () => {
    const verdict = verdictOn(subject, rest as unknown as Partial<Inventory>)
    if (typeof expected === 'string') assert.equal(verdict, expected)
    else assert.match(verdict, expected)
  })
}

test('taken back, an image is none of the good ones', () => {
  const past = moves('b', 'a', 'b')
  past[2]!.note!.by = 'revert'
  assert.match(verdictOn(image('a'), { channels: [{ channel: 'prod', moves: past }] }), /^delete/)
})

test('the newest of each architecture is the parent of the next upload', () => {
  const images = [image('old'), NEWEST, image('arm', { architecture: 'arm64' })]
  const verdicts = retentionVerdicts({ region: '', images, snapshots: [], channels: [] }, options)
  assert.deepEqual(
    verdicts.map(({ id, action }) => [id, action]),
    [
      ['old', 'delete'],
      ['newest', 'keep'],
      ['arm', 'keep'],
    ],
  )
  assert.deepEqual(verdicts[1]?.reasons, ['the newest: the parent of the next upload'])
})

test('a snapshot that no image stands on goes after a day', () => {
  const snapshot = (snapshotId: string, ageMs: number) => ({ snapshotId, digest: '', startedMs: NOW - ageMs })
  const snapshots = [
    snapshot('snap-newest', 90 * DAY),
    snapshot('snap-old', DAY + 1),
    snapshot('snap-a-day-old', DAY),
    snapshot('snap-young', DAY - 1),
    snapshot('snap-of-unknown-age', NaN),
  ]
  const verdicts = retentionVerdicts({ region: '', images: [NEWEST], snapshots, channels: [] }, options)
  assert.deepEqual(
    verdicts.map(({ kind, id, action }) => [kind, id, action]),
    [
      ['image', 'newest', 'keep'],
      ['snapshot', 'snap-old', 'delete'],
      ['snapshot', 'snap-a-day-old', 'keep'],
      ['snapshot', 'snap-young', 'keep'],
      ['snapshot', 'snap-of-unknown-age', 'keep'],
    ],
  )
})
