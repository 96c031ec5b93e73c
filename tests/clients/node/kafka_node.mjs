// Driver of kafka-node; see tests/clients/PROTOCOL.md.
//
// kafka-node was last changed in 2019. It speaks the oldest versions that clients still use: Produce v2 and Fetch v2
// with message sets of format 1, so the broker has to convert what it stores.

import { createRequire } from 'node:module'
import { promisify } from 'node:util'
import { decode, disjointUnion, encode, serve, sleep, until } from './protocol.mjs'

const require = createRequire(import.meta.url)
const { Admin, Consumer, ConsumerGroup, KafkaClient, Offset, Producer } = require('kafka-node')
const { version } = require('kafka-node/package.json')

const CODECS = { none: 0, gzip: 1, snappy: 2 }
const kafkaHost = process.argv[2]

async function connected() {
  const client = new KafkaClient({ kafkaHost, connectTimeout: 5000, requestTimeout: 20_000 })
  await new Promise((resolve, reject) => client.once('ready', resolve).once('error', reject))
  return client
}

const client = await connected()
const admin = new Admin(client)
const offsets = new Offset(client)

const call = (target, method, ...args) => promisify(target[method].bind(target))(...args)

async function partitionsOf(topic) {
  const [, { metadata, error }] = await call(client, 'loadMetadataForTopics', [topic])
  if (error) throw new Error(JSON.stringify(error))
  return Object.keys(metadata[topic]).map(Number).sort((a, b) => a - b)
}

const shown = (message) => ({
  partition: message.partition,
  offset: message.offset,
  timestamp: message.timestamp?.getTime() ?? -1,
  key: encode(message.key),
  value: encode(message.value),
  headers: [],
})

/** A member of a group that collects what it reads; `owned` follows the rebalances. */
function join(topic, group) {
  const consumer = new ConsumerGroup(
    {
      kafkaHost,
      groupId: group,
      sessionTimeout: 10_000,
      heartbeatInterval: 300,
      protocol: ['roundrobin'],
      encoding: 'buffer',
      keyEncoding: 'buffer',
      fromOffset: 'earliest',
      autoCommit: false,
      fetchMaxWaitMs: 100,
    },
    topic,
  )
  const member = { consumer, owned: [], records: [], failure: null }
  consumer.on('rebalanced', () => {
    member.owned = consumer.topicPayloads.map((each) => each.partition).sort((a, b) => a - b)
  })
  consumer.on('message', (message) => member.records.push(shown(message)))
  consumer.on('error', (error) => (member.failure = error))
  return member
}

async function leave(member) {
  await call(member.consumer, 'close', false)
  if (member.failure) throw member.failure
}

const operations = {
  async create_topic({ topic, partitions, configs }) {
    const configEntries = Object.entries(configs).map(([name, value]) => ({ name, value }))
    const errors = await call(admin, 'createTopics', [{ topic, partitions, replicationFactor: 1, configEntries }])
    if (errors.length) throw new Error(JSON.stringify(errors))
    return {}
  },

  async list_topics() {
    const [, { metadata }] = await call(admin, 'listTopics')
    return { topics: Object.keys(metadata) }
  },

  async describe_topic({ topic }) {
    return { partitions: (await partitionsOf(topic)).length }
  },

  async describe_configs({ topic }) {
    const resources = [{ resourceType: admin.RESOURCE_TYPES.topic, resourceName: topic, configNames: [] }]
    const [described] = await call(admin, 'describeConfigs', { resources, includeSynonyms: false })
    return { configs: Object.fromEntries(described.configEntries.map((each) => [each.configName, each.configValue])) }
  },

  async produce({ topic, codec, records }) {
    const producer = new Producer(client, { requireAcks: -1, ackTimeoutMs: 10_000 })
    await partitionsOf(topic)
    const payloads = records.map((each) => ({
      topic,
      partition: each.partition,
      key: decode(each.key),
      messages: [decode(each.value)],
      timestamp: each.timestamp,
      attributes: CODECS[codec],
    }))
    const answer = await call(producer, 'send', payloads)
    const next = { ...answer[topic] }
    return { offsets: records.map((each) => next[each.partition]++) }
  },

  async consume({ topic, partitions, count }) {
    const earliest = (await call(offsets, 'fetchEarliestOffsets', [topic]))[topic]
    const reader = await connected()
    const payloads = partitions.map((partition) => ({ topic, partition, offset: earliest[partition] }))
    const consumer = new Consumer(reader, payloads, {
      autoCommit: false,
      fromOffset: true,
      encoding: 'buffer',
      keyEncoding: 'buffer',
      fetchMaxBytes: 4 << 20,
    })
    const records = []
    let failure = null
    consumer.on('message', (message) => records.push(shown(message)))
    consumer.on('error', (error) => (failure = error))
    try {
      await until(`${count} records`, () => failure || records.length >= count, () => records.length)
      if (failure) throw failure
      return { records }
    } finally {
      await call(consumer, 'close', false)
    }
  },

  async group_of_two({ topic, group, records }) {
    const partitions = await partitionsOf(topic)
    const members = [join(topic, group)]
    try {
      const [first] = members
      await until('the first member to own every partition', () => first.owned.length === partitions.length, () => first.owned)
      const alone = first.owned
      members.push(join(topic, group))
      const second = members[1]
      await until(
        'both members to share the partitions',
        () =>
          first.owned.length > 0 && second.owned.length > 0 &&
          disjointUnion(first.owned, second.owned)?.length === partitions.length,
        () => [first.owned, second.owned],
      )
      const together = [first.owned, second.owned]
      const described = await operations.describe_group({ group })
      await operations.produce({ topic, codec: 'none', records })
      const read = () => [...first.records, ...second.records]
      await until('every record', () => read().length >= records.length, () => read().length)
      for (const member of members) await call(member.consumer, 'commit', true)
      return { alone, together, records: read(), described }
    } finally {
      for (const member of members) await leave(member)
    }
  },

  async consume_group({ topic, group, count }) {
    const member = join(topic, group)
    try {
      await until(`${count} records`, () => member.records.length >= count, () => member.records.length)
      await sleep(20) // the position moves on in the next turn of the event loop
      await call(member.consumer, 'commit', true)
      return { records: member.records }
    } finally {
      await leave(member)
    }
  },

  async committed({ topic, group }) {
    const payloads = (await partitionsOf(topic)).map((partition) => ({ topic, partition }))
    return { offsets: (await call(offsets, 'fetchCommits', group, payloads))[topic] }
  },

  async describe_group({ group }) {
    const described = (await call(admin, 'describeGroups', [group]))[group]
    return { state: described.state, members: described.members.length }
  },

  async list_groups() {
    return { groups: Object.keys(await call(admin, 'listGroups')) }
  },
}

const missing = 'kafka-node has no such call'
await serve(
  {
    client: `kafka-node ${version}`,
    codecs: Object.keys(CODECS),
    lacks: {
      headers: 'message format 1 has no headers',
      timestamp: 'its consumer without a group reads with Fetch v0, which has no timestamps',
      idempotent: missing,
      transaction: missing,
      group_of_two_848: 'classic groups only',
      consume_from_time: 'its ListOffsets v0 finds segments, not records',
      lz4: missing,
      zstd: missing,
      alter_configs: missing,
      create_partitions: missing,
      delete_records: missing,
      delete_topic: missing,
      delete_group: missing,
    },
  },
  operations,
  () => call(client, 'close'),
)
