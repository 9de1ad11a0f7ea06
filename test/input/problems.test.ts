// The error of a bad input: the file, and for every key the found and the expected value.
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as v from 'valibot'
import { checkInput, InputError, parseInput, readInput } from '../../input/problems.ts'

const schema = v.strictObject({
  port: v.pipe(v.number(), v.maxValue(65535, 'a port, 1 to 65535')),
  routes: v.strictObject({ file: v.string() }),
})

test('all problems of a file are named at once', () => {
  assert.throws(
    () => checkInput('fleet.yaml', schema, { port: 70_000, routes: {}, prot: 25 }),
    (error) => {
      assert.ok(error instanceof InputError)
      assert.equal(
        error.message,
        [
          'fleet.yaml: 3 problems',
          '  port: expected a port, 1 to 65535, found 70000',
          '  routes.file: expected a value, found nothing',
          '  prot: expected no such key, found this key',
        ].join('\n'),
      )
      return true
    },
  )
})

test('a syntax error is named with line and column', () => {
  assert.throws(
    () => parseInput('x.yaml', 'a: 1\nb: {'),
    /x\.yaml: 1 problem\n {2}line 2, column 5: expected JSON or YAML/,
  )
})

test('missing, circular and excessive YAML aliases are bad input', () => {
  const bomb = ['a: &a [x,x,x,x,x,x,x,x,x]']
  for (const [name, last] of ['ba', 'cb', 'dc', 'ed'].map((pair) => [...pair]))
    bomb.push(`${name}: &${name} [${Array(9).fill(`*${last}`).join()}]`)
  for (const text of ['a: *nowhere', 'a: &a [*a]', 'a: &a { b: *a }', bomb.join('\n')])
    assert.throws(() => parseInput('x.yaml', text), InputError)
  assert.deepEqual(parseInput('x', 'a: &a [1]\nb: *a'), { a: [1], b: [1] })
})

test('JSON and YAML are both read', () => {
  assert.deepEqual(parseInput('x', '{"a": [1]}'), parseInput('x', 'a:\n  - 1\n'))
})

test('a missing file is named, with the reason', () => {
  assert.throws(
    () => readInput('/nonexistent/x.yaml'),
    /\/nonexistent\/x\.yaml: 1 problem\n.*expected a readable file, found ENOENT/,
  )
})

test('a long found value is cut', () => {
  assert.throws(
    () => checkInput('x', v.strictObject({ n: v.number() }), { n: 'y'.repeat(10_000) }),
    (error) => error instanceof InputError && error.message.length < 200,
  )
})

test('no error prints a secret', () => {
  const secrets = v.strictObject({
    srs: v.strictObject({ secrets: v.array(v.pipe(v.string(), v.minLength(32, '32 characters'))) }),
  })
  assert.throws(
    () => checkInput('x', secrets, { srs: { secrets: ['hunter2'] } }),
    (error: Error) => {
      assert.equal(
        error.message,
        'x: 1 problem\n  srs.secrets.0: expected 32 characters, found a text of 7 characters',
      )
      return true
    },
  )
})

test('a check across keys shows the value of the key it is about', () => {
  const range = v.pipe(
    v.strictObject({ min: v.number(), max: v.number() }),
    v.forward(
      v.partialCheck([['min'], ['max']], ({ min, max }) => min <= max, 'at least min'),
      ['max'],
    ),
  )
  assert.throws(() => checkInput('x', range, { min: 3, max: 2 }), /max: expected at least min, found 2$/)
})
