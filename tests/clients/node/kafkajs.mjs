// Driver of KafkaJS; see tests/clients/PROTOCOL.md.
//
// KafkaJS packs gzip itself and takes the other codecs from plug-ins: snappy from kafkajs-snappy, lz4 and zstd from
// packages that ship their code compiled, wired up here.

import { createRequire } from 'node:module'
import lz4 from 'lz4-napi'
import * as zstd from '@bokuweb/zstd-wasm'
import { decode, disjointUnion, encode, serve, until, WAIT_MS_MAX } from './protocol.mjs'

const require = createRequire(import.meta.url)
const kafkajs = require('kafkajs')
const SnappyCodec = require('kafkajs-snappy')
const { version } = require('kafkajs/package.json')
const { CompressionTypes, CompressionCodecs, ConfigResourceTypes, Kafka, logLevel } = kafkajs

await zstd.init()
CompressionCodecs[CompressionTypes.Snappy] = SnappyCodec
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: async ({ buffer }) => lz4.compressFrame(buffer),
  decompress: async (buffer) => lz4.decompressFrame(buffer),
})
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async ({ buffer }) => Buffer.from(zstd.compress(buffer, 3)),
  decompress: async (buffer) => Buffer.from(zstd.decompress(buffer)),
})
const CODECS = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD,
}

const kafka = new Kafka({ clientId: 'kafkajs-driver', brokers: [process.argv[2]], logLevel: logLevel.ERROR, retry: { retries: 3 } })
const admin = kafka.admin()
await admin.connect()

/** KafkaJS gives a map, where a name that was sent twice has a list of values. */
function headersOf(map) {
  return Object.entries(map ?? {}).flatMap(([name, value]) =>
    (Array.isArray(value) ? value : [value]).map((each) => [name, encode(each)]),
  )
}

function toHeaders(pairs) {
  const map = {}
  for (const [name, text] of pairs) {
    const value = decode(text)
    if (name in map) map[name] = [].concat(map[name], value)
    else map[name] = value
  }
  return map
}

const toMessage = (record) => ({
  partition: record.partition,
  key: decode(record.key),
  value: decode(record.value),
  headers: toHeaders(record.headers),
  timestamp: String(record.timestamp),
})

const shown = (partition, message) => ({
  partition,
  offset: Number(message.offset),
  timestamp: Number(message.timestamp),
  key: encode(message.key),
  value: encode(message.value),
  headers: headersOf(message.headers),
})

const partitionsOf = async (topic) => {
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] })
  return topics[0].partitions.map((each) => each.partitionId).sort((a, b) => a - b)
}

/** A member that collects what it reads; `owned` follows the rebalances. KafkaJS commits what eachMessage has handled. */
async function join(topic, group, { seeks = {}, only = null } = {}) {
  const consumer = kafka.consumer({
    groupId: group,
    heartbeatInterval: 300,
    sessionTimeout: 10_000,
    rebalanceTimeout: 10_000,
    maxWaitTimeInMs: 100,
  })
  const member = { consumer, owned: [], records: [] }
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    member.owned = [...(payload.memberAssignment[topic] ?? [])].sort((a, b) => a - b)
  })
  await consumer.connect()
  await consumer.subscribe({ topics: [topic], fromBeginning: true })
  await consumer.run({
    autoCommit: only === null,
    eachMessage: async ({ partition, message }) => {
      if (only === null || only.includes(partition)) member.records.push(shown(partition, message))
    },
  })
  for (const [partition, offset] of Object.entries(seeks)) consumer.seek({ topic, partition: Number(partition), offset })
  return member
}

/** KafkaJS has no consumer without a group, so a reader gets a group of its own. */
const alone = () => `kafkajs-reader-${process.pid}-${Math.random().toString(36).slice(2)}`

async function read(topic, partitions, count, seeks) {
  const member = await join(topic, alone(), { seeks, only: partitions })
  try {
    await until(`${count} records`, () => member.records.length >= count, () => member.records.length)
    return member.records
  } finally {
    await member.consumer.disconnect()
  }
}

const operations = {
  async create_topic({ topic, partitions, configs }) {
    const configEntries = Object.entries(configs).map(([name, value]) => ({ name, value }))
    const created = await admin.createTopics({
      topics: [{ topic, numPartitions: partitions, replicationFactor: 1, configEntries }],
      waitForLeaders: true,
    })
    if (!created) throw new Error(`the topic ${topic} exists`)
    return {}
  },

  async list_topics() {
    return { topics: await admin.listTopics() }
  },

  async describe_topic({ topic }) {
    return { partitions: (await partitionsOf(topic)).length }
  },

  async describe_configs({ topic }) {
    const { resources } = await admin.describeConfigs({
      includeSynonyms: false,
      resources: [{ type: ConfigResourceTypes.TOPIC, name: topic }],
    })
    return { configs: Object.fromEntries(resources[0].configEntries.map((each) => [each.configName, each.configValue])) }
  },

  async alter_configs({ topic, configs }) {
    const configEntries = Object.entries(configs).map(([name, value]) => ({ name, value }))
    await admin.alterConfigs({ resources: [{ type: ConfigResourceTypes.TOPIC, name: topic, configEntries }] })
    return {}
  },

  async create_partitions({ topic, count }) {
    await admin.createPartitions({ topicPartitions: [{ topic, count }] })
    return {}
  },

  async delete_records({ topic, before }) {
    const partitions = Object.entries(before).map(([partition, offset]) => ({ partition: Number(partition), offset: String(offset) }))
    await admin.fetchTopicOffsets(topic) // or the admin client does not know the leaders
    await admin.deleteTopicRecords({ topic, partitions })
    return {}
  },

  async delete_topic({ topic }) {
    await admin.deleteTopics({ topics: [topic] })
    return {}
  },

  async produce({ topic, codec, idempotent, records }) {
    const producer = kafka.producer({ idempotent, maxInFlightRequests: 1 })
    await producer.connect()
    try {
      const answers = await producer.send({ topic, messages: records.map(toMessage), acks: -1, compression: CODECS[codec] })
      const next = Object.fromEntries(answers.map((each) => [each.partition, Number(each.baseOffset)]))
      return { offsets: records.map((each) => next[each.partition]++) }
    } finally {
      await producer.disconnect()
    }
  },

  async transaction({ topic, id, aborted, committed }) {
    const producer = kafka.producer({ transactionalId: id, idempotent: true, maxInFlightRequests: 1 })
    await producer.connect()
    try {
      for (const [records, end] of [[aborted, 'abort'], [committed, 'commit']]) {
        const transaction = await producer.transaction()
        await transaction.send({ topic, messages: records.map(toMessage) })
        await transaction[end]()
      }
      return {}
    } finally {
      await producer.disconnect()
    }
  },

  async consume_committed({ topic, partitions, count }) {
    // KafkaJS reads committed transactions only, unless it is told otherwise.
    return { records: await read(topic, partitions, count, {}) }
  },

  async consume({ topic, partitions, count }) {
    return { records: await read(topic, partitions, count, {}) }
  },

  async consume_from_time({ topic, timestamp, count }) {
    const offsets = {}
    const seeks = {}
    const ends = Object.fromEntries((await admin.fetchTopicOffsets(topic)).map((each) => [each.partition, each.high]))
    for (const { partition, offset } of await admin.fetchTopicOffsetsByTimestamp(topic, timestamp)) {
      // KafkaJS answers the end of the partition where Kafka has no such record.
      const found = Number(offset) >= 0 && offset !== ends[partition]
      offsets[partition] = found ? Number(offset) : null
      seeks[partition] = found ? offset : ends[partition]
    }
    return { offsets, records: await read(topic, await partitionsOf(topic), count, seeks) }
  },

  async group_of_two({ topic, group, records }) {
    const partitions = await partitionsOf(topic)
    const members = [await join(topic, group)]
    try {
      const [first] = members
      await until('the first member to own every partition', () => first.owned.length === partitions.length, () => first.owned)
      const owned = first.owned
      members.push(await join(topic, group))
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
      await operations.produce({ topic, codec: 'none', idempotent: false, records })
      await until('every record', () => first.records.length + second.records.length >= records.length)
      return { alone: owned, together, records: [...first.records, ...second.records], described }
    } finally {
      for (const member of members) await member.consumer.disconnect()
    }
  },

  async consume_group({ topic, group, count }) {
    const member = await join(topic, group)
    try {
      await until(`${count} records`, () => member.records.length >= count, () => member.records.length)
      // Disconnecting commits what was handled.
      return { records: member.records }
    } finally {
      await member.consumer.disconnect()
    }
  },

  async committed({ topic, group }) {
    const [answer] = await admin.fetchOffsets({ groupId: group, topics: [topic] })
    return { offsets: Object.fromEntries(answer.partitions.map((each) => [each.partition, Number(each.offset)])) }
  },

  async describe_group({ group }) {
    const { groups } = await admin.describeGroups([group])
    return { state: groups[0].state, members: groups[0].members.length }
  },

  async list_groups() {
    const { groups } = await admin.listGroups()
    return { groups: groups.map((each) => each.groupId) }
  },

  async delete_group({ group }) {
    await admin.deleteGroups([group])
    return {}
  },
}

await serve(
  {
    client: `KafkaJS ${version}`,
    codecs: Object.keys(CODECS),
    lacks: {
      group_of_two_848: 'classic groups only',
      null_header: 'the encoder takes strings and buffers only',
      header_order: 'headers are a map: values of one name lie together',
    },
  },
  operations,
  () => admin.disconnect(),
)
