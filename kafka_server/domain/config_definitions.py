"""Owns: the facts about every config, as plain data. Must never know: how they are parsed, checked or used.

generated from specs/configs.yaml by make codegen; edit the spec, not this file.

Per key one line of facts - name, type, importance, update mode, effect, then what applies of ``default=`` ``min=``
``max=`` ``pattern=`` ``also=`` ``values=`` ``synonyms=`` and of the flags ``required`` ``nonempty`` ``ignore_case``
``internal`` - going on in lines that begin with ``+``, and the doc on the indented lines below it.
"""

from typing import Final

BROKER: Final = r"""
add.partitions.to.txn.retry.backoff.max.ms int high read-only yes default=100 min=0
  Longest that a produce request is held while the broker retries to add its partition to the transaction.
add.partitions.to.txn.retry.backoff.ms int high read-only yes default=20 min=1
  Pause between two attempts of the broker to add a partition to a transaction on behalf of a producer.
advertised.listeners list high read-only yes nonempty
  Addresses that clients are told to use, one per listener, as NAME://host:port. Without it a client is told the very
  address that it reached.
alter.config.policy.class.name class low read-only none
  Java class that may veto changes of configs. This broker loads no classes that are named in a config.
alter.log.dirs.replication.quota.window.num int low read-only none default=11 min=1
  How many samples the quota for moves between log directories keeps in memory.
alter.log.dirs.replication.quota.window.size.seconds int low read-only none default=1 min=1
  Length of one sample of the quota for moves between log directories.
authorizer.class.name string low read-only none default=
  Java class that decides who may do what. This broker loads no classes that are named in a config.
auto.create.topics.enable boolean high read-only yes default=true
  Creates a topic the first time a client asks for its metadata, if the client allows that too. Handy in tests; in
  production a typing error becomes a topic.
auto.leader.rebalance.enable boolean high read-only none default=true
  Moves leadership back to the preferred replicas from time to time. With one broker every leader is the preferred one.
background.threads int high cluster-wide none default=10 min=1
  Threads for chores such as retention in Apache Kafka. An event loop does them here.
broker.heartbeat.interval.ms int medium read-only none default=2000
  How often a broker tells the controller that it is alive.
broker.id int high read-only yes default=-1
  Old name of node.id. Used when node.id is not set.
broker.rack string medium read-only yes
  Rack or zone of this broker, told to clients in metadata, so that they can prefer replicas nearby.
broker.session.timeout.ms int medium read-only none default=9000
  Time without a heartbeat after which the controller takes a broker for dead.
client.quota.callback.class class low read-only none
  Java class that computes client quotas. This broker loads no classes that are named in a config.
cluster.id string low read-only yes default= pattern=[A-Za-z0-9_-]{0,64}
  Our own key. Id of the cluster as clients see it; without it each start draws a new one.
compression.gzip.level int medium cluster-wide yes default=-1 min=1 max=9 also=-1
  Level used when the broker itself compresses with gzip: 1 is fast, 9 is small, -1 is the codec's default.
compression.lz4.level int medium cluster-wide yes default=9 min=1 max=17
  Level used when the broker itself compresses with lz4, from 1 to 17.
compression.type string high cluster-wide yes default=producer values=uncompressed,zstd,lz4,snappy,gzip,producer
  Codec in which topics keep their batches. `producer` keeps each batch as it came; any other value makes the broker
  recompress what differs.
compression.zstd.level int medium cluster-wide yes default=3 min=-131072 max=22
  Level used when the broker itself compresses with zstd. Negative levels trade size for speed.
config.providers list low cluster-wide none default=
  Aliases of classes that fetch config values from elsewhere. This broker loads no classes that are named in a config.
connection.failed.authentication.delay.ms int low read-only none default=100 min=0
  How long the connection stays open after failed authentication, so that guessing passwords is slow.
connections.max.idle.ms long medium read-only yes default=600000
  A connection without a request for this long is closed. Clients reconnect by themselves.
connections.max.reauth.ms long medium read-only none default=0
  Longest life of a SASL session before the client has to authenticate again (KIP-368). 0 asks for no re-authentication.
controlled.shutdown.enable boolean medium read-only none default=true
  Hands leadership to other brokers before a shutdown. A single broker has nobody to hand it to.
controller.listener.names list high read-only yes nonempty
  Listeners of the controller role. There is no separate controller here; clients reach admin calls on every listener.
controller.performance.always.log.threshold.ms long medium read-only none default=2000 min=0 internal
  Controller events that take longer than this are logged.
controller.performance.sample.period.ms long medium read-only none default=60000 min=100 internal
  Interval of the controller's own performance log lines.
controller.quorum.append.linger.ms int medium read-only none default=25 min=0
  How long the quorum leader collects writes before it flushes them together.
controller.quorum.auto.join.enable boolean low read-only none default=false
  Lets a controller add itself to the voters of the metadata quorum.
controller.quorum.bootstrap.servers list high read-only none default=
  Addresses at which a node finds the metadata quorum. There is no quorum with one broker.
controller.quorum.election.backoff.max.ms int high read-only none default=1000 min=0
  Longest pause before a controller starts another election after a failed one.
controller.quorum.election.timeout.ms int high read-only none default=1000 min=0
  How long a candidate waits for votes before it tries again.
controller.quorum.fetch.max.bytes int low read-only none default=1048576 min=1
  Most bytes of the metadata log in one fetch between controllers.
controller.quorum.fetch.snapshot.max.bytes int low read-only none default=1048576 min=1
  Most bytes of a metadata snapshot in one fetch between controllers.
controller.quorum.fetch.timeout.ms int high read-only none default=2000 min=0
  Time without a successful fetch from the quorum leader after which a voter calls an election.
controller.quorum.request.timeout.ms int medium read-only none default=2000 min=0
  How long a controller waits for the answer of another one.
controller.quorum.retry.backoff.ms int low read-only none default=20 min=0
  Pause before a failed request between controllers is sent again.
controller.quorum.voters list high read-only none default=
  Static list of the voters of the metadata quorum as id@host:port. There is no quorum with one broker.
controller.quota.window.num int low read-only yes default=11 min=1
  How many samples the quota for creating and deleting topics keeps in memory.
controller.quota.window.size.seconds int low read-only yes default=1 min=1
  Length of one sample of the quota for creating and deleting topics.
controller.socket.timeout.ms int medium read-only none default=30000
  Time-out of connections from the broker to the controller.
cordoned.log.dirs list medium per-broker none default=
  Log directories that get no new partitions; `*` means all of them. Partitions already there stay.
create.topic.policy.class.name class low read-only none
  Java class that may veto the creation of topics. This broker loads no classes that are named in a config.
default.replication.factor int medium read-only yes default=1
  Replication factor of topics that are created without one. More than the number of brokers makes such a creation fail.
delegation.token.expiry.check.interval.ms long low read-only none default=3600000 min=1
  How often expired delegation tokens are removed.
delegation.token.expiry.time.ms long medium read-only none default=86400000 min=1
  Life of a delegation token until it must be renewed.
delegation.token.max.lifetime.ms long medium read-only none default=604800000 min=1
  Longest life of a delegation token, renewals included.
delegation.token.secret.key password medium read-only none
  Secret with which delegation tokens are signed. Tokens are off without it.
delete.records.purgatory.purge.interval.requests int medium read-only none default=1
  After how many finished DeleteRecords requests the list of waiting ones is swept.
delete.topic.enable boolean high read-only yes default=true
  When false, DeleteTopics is refused for every topic.
early.start.listeners list high read-only none
  Listeners that may start before the authorizer is ready.
errors.deadletterqueue.auto.create.topics.enable boolean medium cluster-wide none default=false
  Creates the dead-letter topic of a share group when it is missing (KIP-1191).
errors.deadletterqueue.topic.name.prefix string medium cluster-wide none default=dlq.
  Names of dead-letter topics must begin with this; empty allows any name (KIP-1191).
fetch.max.bytes int medium read-only yes default=57671680 min=1024
  Most bytes of records in one fetch response, whatever the client asks for. The first batch is sent whole even above
  it.
fetch.purgatory.purge.interval.requests int medium read-only none default=1000
  After how many finished fetches the list of waiting ones is swept.
flush string high read-only yes default=ack values=os,ack
  Our own key. When an acknowledged write is on disk: `os` leaves it to the page cache as Apache Kafka does, `ack`
  answers after an fsync that all waiting writes share.
follower.fetch.last.tiered.offset.enable boolean medium cluster-wide none default=false
  Lets an empty follower start behind what is already in remote storage.
follower.replication.throttled.rate long medium cluster-wide none default=9223372036854775807 min=0 internal
  Bytes per second that this broker, as a follower, may copy for throttled partitions.
group.consumer.assignment.interval.ms int medium cluster-wide yes default=1000 min=0
  Shortest time between two assignments that a consumer group (KIP-848) computes.
group.consumer.assignor.offload.enable boolean medium cluster-wide none default=true internal
  Computes assignments of consumer groups (KIP-848) on a background thread.
group.consumer.assignors list medium read-only yes default=uniform,range values=uniform,range nonempty
  Server-side assignors of consumer groups (KIP-848), the default one first.
group.consumer.heartbeat.interval.ms int medium read-only yes default=5000 min=1
  Heartbeat interval that members of a consumer group (KIP-848) are told.
group.consumer.max.assignment.interval.ms int medium read-only yes default=15000 min=0
  Upper bound for the group config consumer.assignment.interval.ms.
group.consumer.max.heartbeat.interval.ms int medium read-only yes default=15000 min=1
  Upper bound for the group config consumer.heartbeat.interval.ms.
group.consumer.max.session.timeout.ms int medium read-only yes default=60000 min=1
  Upper bound for the group config consumer.session.timeout.ms.
group.consumer.max.size int medium read-only yes default=2147483647 min=1
  Most members of one consumer group (KIP-848). For classic groups see group.max.size.
group.consumer.migration.policy string medium read-only yes default=bidirectional
+ values=DISABLED,DOWNGRADE,UPGRADE,BIDIRECTIONAL ignore_case
  Which way a group that has members may change between the classic and the consumer protocol.
group.consumer.min.assignment.interval.ms int medium read-only yes default=0 min=0
  Lower bound for the group config consumer.assignment.interval.ms.
group.consumer.min.heartbeat.interval.ms int medium read-only yes default=5000 min=1
  Lower bound for the group config consumer.heartbeat.interval.ms.
group.consumer.min.session.timeout.ms int medium read-only yes default=45000 min=1
  Lower bound for the group config consumer.session.timeout.ms.
group.consumer.regex.refresh.interval.ms int medium read-only yes default=600000 min=10000 internal
  How often regex subscriptions of consumer groups (KIP-848) are matched against the topics anew.
group.consumer.session.timeout.ms int medium read-only yes default=45000 min=1
  A member of a consumer group (KIP-848) that stays silent for this long is removed.
group.coordinator.append.linger.ms int medium read-only none default=-1 min=-1
  How long the group coordinator collects writes before it appends them together; -1 adapts to the load.
group.coordinator.background.threads int high read-only none default=2 min=1
  Threads of the group coordinator for chores in Apache Kafka.
group.coordinator.cached.buffer.max.bytes int medium cluster-wide none default=1048588 min=524288
  Largest write buffer that the group coordinator keeps for reuse.
group.coordinator.rebalance.protocols list medium read-only yes default=classic,consumer,streams
+ values=consumer,classic,share,streams nonempty
  Group protocols that the coordinator speaks. This broker speaks classic, always, and consumer unless it is left out
  here.
group.coordinator.threads int high read-only none default=4 min=1
  Threads of the group coordinator in Apache Kafka.
group.initial.rebalance.delay.ms int medium read-only yes default=0
  How long an empty group waits for more members before its first rebalance. This broker's default is 0, because waiting
  3 s (the default in Apache Kafka) slows every test; raise it where many members start together.
group.max.session.timeout.ms int medium read-only yes default=1800000
  Largest session.timeout.ms that a member of a classic group may ask for.
group.max.size int medium read-only yes default=2147483647 min=1
  Most members of one classic group; further ones are refused.
group.min.session.timeout.ms int medium read-only yes default=6000
  Smallest session.timeout.ms that a member of a classic group may ask for.
group.share.assignment.interval.ms int medium cluster-wide none default=1000 min=0
  Shortest time between two assignments that a share group computes.
group.share.assignor.offload.enable boolean medium cluster-wide none default=true internal
  Computes assignments of share groups on a background thread.
group.share.assignors list medium read-only none default=simple nonempty
  The server-side assignor of share groups; exactly one.
group.share.delivery.count.limit int medium read-only none default=5 min=2 max=10
  How often a record is delivered in a share group before it counts as undeliverable.
group.share.dlq.manager.class.name string medium read-only none
+ default=org.apache.kafka.server.share.dlq.DefaultShareGroupDLQManager internal
  Java class that writes to dead-letter topics. This broker loads no classes that are named in a config.
group.share.heartbeat.interval.ms int medium read-only none default=5000 min=1
  Heartbeat interval that members of a share group are told.
group.share.initialize.retry.interval.ms int low read-only none default=30000 min=1 internal
  Pause before the state of a share partition is initialised again after a failure.
group.share.max.assignment.interval.ms int medium read-only none default=15000 min=0
  Upper bound for the group config share.assignment.interval.ms.
group.share.max.delivery.count.limit int medium read-only none default=10 min=5 max=25
  Upper bound for the group config share.delivery.count.limit.
group.share.max.heartbeat.interval.ms int medium read-only none default=15000 min=1
  Upper bound for the group config share.heartbeat.interval.ms.
group.share.max.partition.max.record.locks int medium read-only none default=4000 min=2000 max=10000
  Upper bound for the group config share.partition.max.record.locks.
group.share.max.record.lock.duration.ms int medium read-only none default=60000 min=30000 max=3600000
  Upper bound for the group config share.record.lock.duration.ms.
group.share.max.session.timeout.ms int medium read-only none default=60000 min=1
  Upper bound for the group config share.session.timeout.ms.
group.share.max.share.sessions int medium read-only none default=2000 min=1
  Most share sessions that one broker holds.
group.share.max.size int medium read-only none default=200 min=1 max=1000
  Most members of one share group.
group.share.min.assignment.interval.ms int medium read-only none default=0 min=0
  Lower bound for the group config share.assignment.interval.ms.
group.share.min.delivery.count.limit int medium read-only none default=2 min=2 max=5
  Lower bound for the group config share.delivery.count.limit.
group.share.min.heartbeat.interval.ms int medium read-only none default=5000 min=1
  Lower bound for the group config share.heartbeat.interval.ms.
group.share.min.partition.max.record.locks int medium read-only none default=100 min=100 max=2000
  Lower bound for the group config share.partition.max.record.locks.
group.share.min.record.lock.duration.ms int medium read-only none default=15000 min=1000 max=30000
  Lower bound for the group config share.record.lock.duration.ms.
group.share.min.session.timeout.ms int medium read-only none default=45000 min=1
  Lower bound for the group config share.session.timeout.ms.
group.share.partition.max.record.locks int medium read-only none default=2000 min=100 max=10000
  Most records of one share partition that may be out with consumers at a time.
group.share.persister.class.name string medium read-only none
+ default=org.apache.kafka.server.share.persister.DefaultStatePersister internal
  Java class that stores the state of share groups. This broker loads no classes that are named in a config.
group.share.record.lock.duration.ms int medium read-only none default=30000 min=1000 max=3600000
  How long a record belongs to the share consumer that got it, before it is given to another.
group.share.session.timeout.ms int medium read-only none default=45000 min=1
  A member of a share group that stays silent for this long is removed.
group.streams.acceptable.recovery.lag long medium read-only none default=10000 min=0 internal
  Lag up to which a Streams client counts as caught up and may be given an active task.
group.streams.assignment.interval.ms int medium cluster-wide none default=1000 min=0
  Shortest time between two assignments that a Streams group computes.
group.streams.assignor.offload.enable boolean medium cluster-wide none default=true internal
  Computes assignments of Streams groups on a background thread.
group.streams.assignors list medium read-only none default=sticky nonempty
  Task assignors of Streams groups, the default one first.
group.streams.heartbeat.interval.ms int medium read-only none default=5000 min=1
  Heartbeat interval that members of a Streams group are told.
group.streams.initial.rebalance.delay.ms int medium read-only none default=3000 min=0
  How long a new Streams group waits for more clients before its first rebalance.
group.streams.max.assignment.interval.ms int medium read-only none default=15000 min=0
  Upper bound for the group config streams.assignment.interval.ms.
group.streams.max.heartbeat.interval.ms int medium read-only none default=15000 min=1
  Upper bound for the group config streams.heartbeat.interval.ms.
group.streams.max.session.timeout.ms int medium read-only none default=60000 min=1
  Upper bound for the group config streams.session.timeout.ms.
group.streams.max.size int medium read-only none default=2147483647 min=1
  Most clients of one Streams group.
group.streams.max.standby.replicas int medium read-only none default=2 min=0
  Upper bound for the group config streams.num.standby.replicas.
group.streams.max.warmup.replicas int medium read-only none default=20 min=0 internal
  Upper bound for the group config streams.num.warmup.replicas.
group.streams.min.assignment.interval.ms int medium read-only none default=0 min=0
  Lower bound for the group config streams.assignment.interval.ms.
group.streams.min.heartbeat.interval.ms int medium read-only none default=5000 min=1
  Lower bound for the group config streams.heartbeat.interval.ms.
group.streams.min.session.timeout.ms int medium read-only none default=45000 min=1
  Lower bound for the group config streams.session.timeout.ms.
group.streams.min.task.offset.interval.ms int medium read-only none default=15000 min=1 internal
  Lower bound for the group config streams.task.offset.interval.ms.
group.streams.num.standby.replicas int medium read-only none default=0 min=0
  Spare copies of each task's state in a Streams group.
group.streams.num.warmup.replicas int medium read-only none default=2 min=0 internal
  Most copies of state that a Streams group may build up at a time in order to move tasks.
group.streams.rack.aware.assignment.tags list low read-only none default=
  Client tags over which a Streams group spreads its standby tasks.
group.streams.session.timeout.ms int medium read-only none default=45000 min=1
  A member of a Streams group that stays silent for this long is removed.
group.streams.task.offset.interval.ms int medium read-only none default=60000 min=1 internal
  How often a Streams client reports how far the state of its warm-up tasks is restored.
group.streams.topology.description.plugin.class class medium read-only none
  Java class that stores descriptions of Streams topologies. This broker loads no classes that are named in a config.
initial.broker.registration.timeout.ms int medium read-only none default=60000
  How long a starting broker tries to register with the controller before it gives up.
inter.broker.listener.name string medium read-only none
  Listener that brokers use between themselves.
internal.metadata.delete.delay.millis long low read-only none default=60000 internal
  For Apache Kafka's own tests: delay before metadata files are deleted.
internal.metadata.log.segment.bytes int low read-only none internal
  For Apache Kafka's own tests: size of a file of the metadata log.
internal.metadata.max.batch.size.in.bytes int low read-only none default=8388608 internal
  For Apache Kafka's own tests: largest batch of the metadata log.
kafka.metrics.polling.interval.secs int low read-only none default=10 min=1
  How often old-style metrics reporters poll.
kafka.metrics.reporters list low read-only none default=
  Java classes that receive old-style metrics. This broker loads no classes that are named in a config; metrics are
  served over HTTP.
leader.imbalance.check.interval.seconds long high read-only none default=300 min=1
  How often the controller looks for leaders that are not the preferred ones.
leader.replication.throttled.rate long medium cluster-wide none default=9223372036854775807 min=0 internal
  Bytes per second that this broker, as a leader, sends to followers of throttled partitions.
listener.security.protocol.map string low per-broker yes
+ default=SASL_SSL:SASL_SSL,PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT
  Which security protocol each listener name speaks, as NAME:PROTOCOL pairs.
listeners list high per-broker yes default=PLAINTEXT://127.0.0.1:9092 nonempty
  Addresses on which the broker accepts connections, as NAME://host:port. An empty host binds to all interfaces, port 0
  lets the system choose. Unset, only this machine is let in; Apache Kafka binds to all interfaces then.
log.cleaner.backoff.ms long medium cluster-wide yes default=15000 min=0
  Pause of the log cleaner when it finds nothing to compact.
log.cleaner.dedupe.buffer.size long medium cluster-wide none default=134217728
  Memory for the key maps of all cleaner threads together.
log.cleaner.delete.retention.ms long medium cluster-wide yes default=86400000 min=0
  How long a tombstone or a transaction marker stays in a compacted topic, so that a reader who began before can still
  see it.
log.cleaner.enable boolean medium read-only yes default=true
  Runs the log cleaner, without which compacted topics grow for ever.
log.cleaner.io.buffer.load.factor double medium cluster-wide none default=0.9
  How full the cleaner's key map may become; fuller means more keys per pass and more collisions.
log.cleaner.io.buffer.size int medium cluster-wide none default=524288 min=0
  Memory for the read and write buffers of all cleaner threads together.
log.cleaner.io.max.bytes.per.second double medium cluster-wide yes default=1.7976931348623157E308
  Brake on the reads and writes of the log cleaner. Below 0 there is none, at 0 nothing is compacted.
log.cleaner.max.compaction.lag.ms long medium cluster-wide yes default=9223372036854775807 min=1
  Longest that a record in a compacted topic may wait for compaction.
log.cleaner.min.cleanable.ratio double medium cluster-wide yes default=0.5 min=0 max=1
  Share of not yet compacted bytes from which a log is worth compacting. Lower keeps logs smaller and costs more work.
log.cleaner.min.compaction.lag.ms long medium cluster-wide yes default=0 min=0
  A record stays safe from compaction for at least this long.
log.cleaner.threads int medium cluster-wide none default=1 min=0
  Threads that compact logs.
log.cleanup.policy list medium cluster-wide yes default=delete values=compact,delete
  What happens to old records: `delete` drops them by age and size, `compact` keeps the newest per key. Both may be
  combined.
log.dir list high read-only yes default=./data nonempty
  Directory of the logs when log.dirs is not set. Kafka's own default is a folder in /tmp; here it is `data` in the
  current directory.
log.dir.failure.timeout.ms long low read-only none default=30000 min=1
  A broker that cannot tell the controller about a failed log directory for this long shuts down.
log.dirs list high read-only yes nonempty
  Directories of the logs, separated by commas. Wins over log.dir.
log.flush.interval.messages long high cluster-wide yes default=9223372036854775807 min=1
  Forces an fsync after this many records of a partition. Rarely wise; see the `flush` policy.
log.flush.interval.ms long high cluster-wide yes synonyms=log.flush.scheduler.interval.ms
  Longest that a record may lie in memory before an fsync is forced.
log.flush.offset.checkpoint.interval.ms int high read-only yes default=60000 min=0
  How often the recovery points are written, from which a start after a crash has to check the logs.
log.flush.scheduler.interval.ms long high read-only yes default=9223372036854775807
  How often it is looked for logs that need an fsync.
log.flush.start.offset.checkpoint.interval.ms int high read-only none default=60000 min=0
  How often the log start offsets are written down.
log.index.interval.bytes int medium cluster-wide yes default=4096 min=0
  An index entry is added after about this many bytes of records.
log.index.size.max.bytes int medium cluster-wide yes default=10485760 min=4
  Largest size of an offset index.
log.initial.task.delay.ms long low read-only none default=30000 min=0 internal
  For Apache Kafka's own tests: delay before the chores of the log manager begin.
log.level string medium read-only yes default=info values=debug,explain,info,warning,error
  Our own key. Least important lines that are logged; `explain` tells what happens to each request, for learners.
log.local.retention.bytes long medium cluster-wide none default=-2 min=-2
  Bytes of a tiered partition that stay on the local disk; -2 follows retention.bytes.
log.local.retention.ms long medium cluster-wide none default=-2 min=-2
  How long records of a tiered partition stay on the local disk; -2 follows retention.ms.
log.message.timestamp.after.max.ms long medium cluster-wide yes default=3600000 min=0
  How far a record's timestamp may lie ahead of the broker's clock before the record is refused.
log.message.timestamp.before.max.ms long medium cluster-wide yes default=9223372036854775807 min=0
  How far a record's timestamp may lie behind the broker's clock before the record is refused.
log.message.timestamp.type string medium cluster-wide yes default=CreateTime values=CreateTime,LogAppendTime
  Whether records keep the time that the producer gave them (CreateTime) or get the broker's (LogAppendTime).
log.preallocate boolean medium cluster-wide none default=false
  Reserves the file space of a new segment at once.
log.remote.copy.lag.bytes long medium cluster-wide none default=-1 min=-1
  Size of newer data from which a closed segment may be copied to remote storage.
log.remote.copy.lag.ms long medium cluster-wide none default=0 min=-1
  Age from which a closed segment may be copied to remote storage.
log.retention.bytes long high cluster-wide yes default=-1
  Size above which a partition drops its oldest segments; -1 sets no bound.
log.retention.check.interval.ms long medium read-only yes default=300000 min=1
  How often it is looked for records to drop by age or size.
log.retention.hours int high read-only yes default=168
  Hours that records are kept. Counts only when neither log.retention.ms nor log.retention.minutes is set.
log.retention.minutes int high read-only yes synonyms=log.retention.hours*60
  Minutes that records are kept. Counts only when log.retention.ms is not set.
log.retention.ms long high cluster-wide yes synonyms=log.retention.minutes*60000,log.retention.hours*3600000
  Milliseconds that records are kept; -1 keeps them for ever. Wins over the settings in minutes and hours.
log.roll.hours int high read-only yes default=168 min=1
  Hours after which a new segment is begun. Counts only when log.roll.ms is not set.
log.roll.jitter.hours int high read-only none default=0 min=0
  Random hours taken off log.roll.hours, so that segments do not all roll at once.
log.roll.jitter.ms long high cluster-wide none synonyms=log.roll.jitter.hours*3600000
  Random milliseconds taken off log.roll.ms, so that segments do not all roll at once.
log.roll.ms long high cluster-wide yes synonyms=log.roll.hours*3600000
  Milliseconds after which a new segment is begun even if the last one is not full.
log.segment.bytes int high cluster-wide yes default=1073741824 min=1048576
  Size at which a new segment is begun. Records are dropped by whole segments, so smaller ones make retention finer.
log.segment.delete.delay.ms long high cluster-wide yes default=60000 min=0
  Wait between taking a file out of the log and deleting it, so that readers can finish.
max.connection.creation.rate int medium cluster-wide yes default=2147483647 min=0
  New connections per second that the broker serves; further ones wait.
max.connections int medium cluster-wide yes default=2147483647 min=0
  Connections that the broker holds at a time; further ones are closed. When it is lowered while the broker runs, those
  go that were silent for longest.
max.connections.per.ip int medium cluster-wide yes default=2147483647 min=0
  Connections that the broker holds from one address; further ones are closed.
max.connections.per.ip.overrides string medium cluster-wide yes default=
  Other bounds for single addresses, as host:count pairs separated by commas. A host may be a name.
max.decompressed.message.bytes int medium cluster-wide none default=2147483639 min=1 max=2147483639
  Largest size of a record once it is decompressed. A guard against decompression bombs.
max.incremental.fetch.session.cache.slots int medium read-only yes default=1000 min=0
  Fetch sessions (KIP-227) that the broker remembers. A client that finds no slot sends full fetches.
max.request.partition.size.limit int medium read-only yes default=2000 min=1
  Most partitions in one answer of DescribeTopicPartitions.
message.max.bytes int high cluster-wide yes default=1048588 min=0
  Largest batch that the broker accepts, measured as it arrives, compressed.
metadata.log.dir string high read-only none
  Directory of the cluster metadata log.
metadata.log.max.record.bytes.between.snapshots long high read-only none default=20971520 min=1
  Bytes of new metadata records after which a snapshot is made.
metadata.log.max.snapshot.interval.ms long high read-only none default=3600000 min=0
  Longest time between two metadata snapshots; 0 makes none by time.
metadata.log.segment.bytes int high read-only none default=1073741824 min=8388608
  Size of one file of the metadata log.
metadata.log.segment.ms long high read-only none default=604800000
  Age at which a new file of the metadata log is begun.
metadata.max.idle.interval.ms int low read-only none default=500 min=0
  How often the active controller writes a no-op record, so that followers can see progress; 0 writes none.
metadata.max.retention.bytes long high read-only none default=104857600
  Size of metadata log and snapshots above which old ones are dropped.
metadata.max.retention.ms long high read-only none default=604800000
  Age above which old metadata logs and snapshots are dropped.
metric.reporters list low cluster-wide none default=org.apache.kafka.common.metrics.JmxReporter
  Java classes that receive metrics. This broker loads no classes that are named in a config; metrics are served over
  HTTP.
metrics.host string medium read-only yes default=127.0.0.1
  Our own key. Address on which the metrics are served.
metrics.num.samples int low read-only none default=2 min=1
  Samples that rates and averages are computed from.
metrics.port int medium read-only yes default=-1 min=-1 max=65535
  Our own key. Port of /metrics, /livez and /readyz; -1 leaves them off, 0 takes any free port.
metrics.recording.level string low read-only none default=INFO
  Lowest level of detail of recorded metrics.
metrics.sample.window.ms long low read-only none default=30000 min=1
  Length of one metrics sample.
min.insync.replicas int high cluster-wide none default=1 min=1
  Replicas that must be in sync before acks=all is answered with success, but never more than the partition has. With
  one broker it is always 1.
node.id int high read-only yes min=0
  Number of this broker, unique in the cluster. Clients see it in metadata. Unset, it is what the data folder says, else
  1.
num.io.threads int high cluster-wide none default=8 min=1
  Threads that handle requests in Apache Kafka. One event loop handles them here.
num.network.threads int high cluster-wide none default=3 min=1
  Threads that read and write sockets in Apache Kafka. One event loop does so here.
num.partitions int medium read-only yes default=1 min=1
  Partitions of topics that are created without a number, auto-created ones included.
num.recovery.threads.per.data.dir int high cluster-wide yes default=2 min=1
  Threads per log directory for recovery at start. A change counts at the next start.
num.replica.alter.log.dirs.threads int high read-only none
  Threads that move replicas between log directories.
num.replica.fetchers int high cluster-wide none default=1 min=1
  Connections over which a broker copies partitions from another one.
offset.metadata.max.bytes int high read-only yes default=4096
  Longest metadata string that may be committed beside an offset.
offsets.commit.timeout.ms int high read-only none default=5000 min=1
  How long an offset commit waits for the replicas of the offsets topic.
offsets.load.buffer.size int high read-only none default=5242880 min=1
  Batch size with which committed offsets are read at start.
offsets.retention.check.interval.ms long high read-only yes default=600000 min=1
  How often it is looked for committed offsets that have expired.
offsets.retention.minutes int high read-only yes default=10080 min=1
  How long the offsets of a group without members are kept.
offsets.topic.compression.codec int high read-only none default=0
  Codec of the offsets topic by its number; 0 is none.
offsets.topic.num.partitions int high read-only yes default=50 min=1
  Partitions of the offsets topic. Must not change once groups exist.
offsets.topic.replication.factor short high read-only none default=3 min=1
  Replicas of the offsets topic. Clamped to the number of brokers here.
offsets.topic.segment.bytes int high read-only none default=104857600 min=1
  Segment size of the offsets topic. Small ones load fast.
principal.builder.class class medium per-broker none
+ default=org.apache.kafka.common.security.authenticator.DefaultKafkaPrincipalBuilder
  Java class that names the principal of a connection. This broker loads no classes that are named in a config.
process.roles list high read-only none default=broker,controller values=broker,controller nonempty
  Roles of this process: broker, controller or both. This program is always both.
producer.id.expiration.check.interval.ms int low read-only none default=600000 min=1 internal
  How often it is looked for producer ids that have expired.
producer.id.expiration.ms int low cluster-wide yes default=86400000 min=1
  How long the sequence numbers of an idle idempotent producer are remembered.
producer.purgatory.purge.interval.requests int medium read-only none default=1000
  After how many finished produce requests the list of waiting ones is swept.
queued.max.request.bytes long medium read-only yes default=-1
  Bytes of requests that may wait before reading stops; -1 sets no bound.
queued.max.requests int high read-only none default=500 min=1
  Requests that may wait before reading stops in Apache Kafka. Here one request per connection is handled at a time.
quota.window.num int low read-only yes default=11 min=1
  How many samples client quotas keep in memory.
quota.window.size.seconds int low read-only yes default=1 min=1
  Length of one sample of client quotas.
ready.file string low read-only yes default=
  Our own key. File that is written when clients can connect: one line NAME://host:port per listener, with a host that
  this machine can connect to.
remote.fetch.max.wait.ms int medium cluster-wide none default=500 min=1
  How long a fetch waits for data from remote storage before it is answered.
remote.list.offsets.request.timeout.ms long medium cluster-wide none default=30000 min=1
  How long ListOffsets waits for an answer from remote storage.
remote.log.index.file.cache.total.size.bytes long low cluster-wide none default=1073741824 min=1
  Disk space for index files fetched from remote storage.
remote.log.index.file.cache.ttl.ms long low read-only none default=900000 min=-1 internal
  Time without use after which a cached remote index is dropped; -1 means never.
remote.log.manager.copier.thread.pool.size int medium cluster-wide none default=10 min=1
  Threads that copy segments to remote storage.
remote.log.manager.copy.max.bytes.per.second long medium cluster-wide none default=9223372036854775807 min=1
  Brake on copying to remote storage.
remote.log.manager.copy.quota.window.num int medium read-only none default=11 min=1
  How many samples the quota for copying to remote storage keeps.
remote.log.manager.copy.quota.window.size.seconds int medium read-only none default=1 min=1
  Length of one sample of the quota for copying to remote storage.
remote.log.manager.expiration.thread.pool.size int medium cluster-wide none default=10 min=1
  Threads that delete expired segments in remote storage.
remote.log.manager.fetch.max.bytes.per.second long medium cluster-wide none default=9223372036854775807 min=1
  Brake on reading from remote storage.
remote.log.manager.fetch.quota.window.num int medium read-only none default=11 min=1
  How many samples the quota for reading from remote storage keeps.
remote.log.manager.fetch.quota.window.size.seconds int medium read-only none default=1 min=1
  Length of one sample of the quota for reading from remote storage.
remote.log.manager.follower.thread.pool.size int medium cluster-wide none default=2 min=1
  Threads by which followers learn how far remote storage reaches.
remote.log.manager.task.interval.ms long low read-only none default=30000 min=1
  How often the tasks of remote storage run.
remote.log.manager.task.retry.backoff.max.ms long low read-only none default=30000 min=1 internal
  Longest pause before a failed remote storage task runs again.
remote.log.manager.task.retry.backoff.ms long low read-only none default=500 min=1 internal
  First pause before a failed remote storage task runs again.
remote.log.manager.task.retry.jitter double low read-only none default=0.2 min=0 max=0.5 internal
  Random part of the pause before a failed remote storage task runs again.
remote.log.manager.thread.pool.size int medium read-only none default=2 min=1
  Old name of remote.log.manager.follower.thread.pool.size.
remote.log.metadata.custom.metadata.max.bytes int low read-only none default=128 min=0
  Most custom metadata per segment that a remote storage plugin may hand over.
remote.log.metadata.manager.class.name string medium read-only none
+ default=org.apache.kafka.server.log.remote.metadata.storage.TopicBasedRemoteLogMetadataManager nonempty
  Java class that keeps the metadata of remote storage. This broker loads no classes that are named in a config.
remote.log.metadata.manager.class.path string medium read-only none
  Where the classes of the remote metadata plugin are found.
remote.log.metadata.manager.impl.prefix string medium read-only none default=rlmm.config. nonempty
  Settings with this prefix are handed to the remote metadata plugin.
remote.log.metadata.manager.listener.name string medium read-only none nonempty
  Listener over which the remote metadata plugin reaches the brokers.
remote.log.reader.max.pending.tasks int medium read-only none default=100 min=1
  Reads from remote storage that may wait; beyond that a fetch fails.
remote.log.reader.threads int medium cluster-wide none default=10 min=1
  Threads that read from remote storage.
remote.log.storage.manager.class.name string medium read-only none nonempty
  Java class that moves segments to remote storage. This broker loads no classes that are named in a config.
remote.log.storage.manager.class.path string medium read-only none
  Where the classes of the remote storage plugin are found.
remote.log.storage.manager.impl.prefix string medium read-only none default=rsm.config. nonempty
  Settings with this prefix are handed to the remote storage plugin.
remote.log.storage.system.enable boolean medium read-only none default=false
  Turns tiered storage on. This broker has none, so a topic that asks for it is refused.
replica.alter.log.dirs.io.max.bytes.per.second long medium cluster-wide none default=9223372036854775807 min=0 internal
  Bytes per second that may be moved between log directories.
replica.fetch.backoff.ms int medium read-only none default=1000 min=0
  Pause of a follower after an error.
replica.fetch.max.bytes int medium read-only none default=1048576 min=0
  Bytes per partition that a follower asks for in one fetch.
replica.fetch.min.bytes int high read-only none default=1
  Bytes for which a follower's fetch waits.
replica.fetch.response.max.bytes int medium read-only none default=10485760 min=0
  Bytes in all that a follower asks for in one fetch.
replica.fetch.wait.max.ms int high read-only none default=500
  How long a follower's fetch may wait.
replica.high.watermark.checkpoint.interval.ms long high read-only none default=5000
  How often the high watermarks are written down.
replica.lag.time.max.ms long high read-only none default=30000
  A follower that has not caught up for this long leaves the in-sync set.
replica.selector.class string medium read-only none
  Java class that chooses the replica a consumer reads from. This broker loads no classes that are named in a config.
replica.socket.receive.buffer.bytes int high read-only none default=65536
  Receive buffer of the connections that copy partitions.
replica.socket.timeout.ms int high read-only none default=30000
  Time-out of the connections that copy partitions.
replication.quota.window.num int low read-only none default=11 min=1
  How many samples the replication quota keeps in memory.
replication.quota.window.size.seconds int low read-only none default=1 min=1
  Length of one sample of the replication quota.
request.timeout.ms int high read-only none default=30000
  How long a broker waits for the answer to its own requests to other brokers.
sasl.client.callback.handler.class class medium read-only none
  Java class for SASL as a client. This broker loads no classes that are named in a config.
sasl.enabled.mechanisms list medium per-broker none default=GSSAPI
  SASL mechanisms that clients may use.
sasl.jaas.config password medium per-broker none
  Login entry in JAAS syntax for SASL.
sasl.kerberos.kinit.cmd string medium per-broker none default=/usr/bin/kinit
  Path of the kinit command.
sasl.kerberos.min.time.before.relogin long medium per-broker none default=60000
  Shortest time between two Kerberos logins.
sasl.kerberos.principal.to.local.rules list medium per-broker none default=DEFAULT
  Rules that turn Kerberos principals into short names, the first match wins.
sasl.kerberos.service.name string medium per-broker none
  Kerberos service name of the brokers.
sasl.kerberos.ticket.renew.jitter double medium per-broker none default=0.05
  Random part of the time at which a Kerberos ticket is renewed.
sasl.kerberos.ticket.renew.window.factor double medium per-broker none default=0.8
  Share of a Kerberos ticket's life after which it is renewed.
sasl.login.callback.handler.class class medium read-only none
  Java class for SASL logins. This broker loads no classes that are named in a config.
sasl.login.class class medium read-only none
  Java class that performs SASL logins. This broker loads no classes that are named in a config.
sasl.login.connect.timeout.ms int low read-only none
  How long connecting to an OAuth provider may take.
sasl.login.read.timeout.ms int low read-only none
  How long reading from an OAuth provider may take.
sasl.login.refresh.buffer.seconds short medium per-broker none default=300
  Seconds before its expiry at which an OAuth token is refreshed at the latest.
sasl.login.refresh.min.period.seconds short medium per-broker none default=60
  Shortest time between two refreshes of an OAuth token.
sasl.login.refresh.window.factor double medium per-broker none default=0.8
  Share of an OAuth token's life after which it is refreshed.
sasl.login.refresh.window.jitter double medium per-broker none default=0.05
  Random part of the time at which an OAuth token is refreshed.
sasl.login.retry.backoff.max.ms long low read-only none default=10000
  Longest pause between two attempts to reach an OAuth provider.
sasl.login.retry.backoff.ms long low read-only none default=100
  First pause between two attempts to reach an OAuth provider.
sasl.mechanism.controller.protocol string high read-only none default=GSSAPI
  SASL mechanism towards controllers.
sasl.mechanism.inter.broker.protocol string medium per-broker none default=GSSAPI
  SASL mechanism between brokers.
sasl.oauthbearer.allow.unverified.audience boolean medium read-only none default=false
  Accepts OAuth tokens although no expected audience is configured.
sasl.oauthbearer.allow.unverified.issuer boolean medium read-only none default=false
  Accepts OAuth tokens although no expected issuer is configured.
sasl.oauthbearer.assertion.algorithm string medium read-only none default=RS256 values=ES256,RS256 ignore_case
  Algorithm with which a client signs its JWT assertion.
sasl.oauthbearer.assertion.claim.aud string medium read-only none
  Audience claim of a JWT assertion that is made locally.
sasl.oauthbearer.assertion.claim.exp.seconds int low read-only none default=300 min=0 max=86400
  Seconds after which a JWT assertion that is made locally expires.
sasl.oauthbearer.assertion.claim.iss string medium read-only none
  Issuer claim of a JWT assertion that is made locally.
sasl.oauthbearer.assertion.claim.jti.include boolean medium read-only none default=false
  Puts a unique id into each JWT assertion that is made locally.
sasl.oauthbearer.assertion.claim.nbf.seconds int low read-only none default=60 min=0 max=3600
  Seconds into the past from which a JWT assertion that is made locally is valid.
sasl.oauthbearer.assertion.claim.sub string medium read-only none
  Subject claim of a JWT assertion that is made locally.
sasl.oauthbearer.assertion.file string medium read-only none
  File with a ready JWT assertion.
sasl.oauthbearer.assertion.private.key.file string medium read-only none
  PEM file with the key that signs JWT assertions.
sasl.oauthbearer.assertion.private.key.passphrase password medium read-only none
  Passphrase of the key that signs JWT assertions.
sasl.oauthbearer.assertion.template.file string medium read-only none
  File with headers and claims for JWT assertions that are made locally.
sasl.oauthbearer.client.credentials.client.id string medium read-only none
  Client id for the OAuth client-credentials grant.
sasl.oauthbearer.client.credentials.client.secret password medium read-only none
  Client secret for the OAuth client-credentials grant.
sasl.oauthbearer.clock.skew.seconds int low read-only none default=30
  Difference between clocks that is tolerated when a token's times are checked.
sasl.oauthbearer.expected.audience list high read-only none default=
  Audiences of which a token must name one.
sasl.oauthbearer.expected.issuer string high read-only none
  Issuer that a token must come from.
sasl.oauthbearer.jwks.endpoint.refresh.ms long low read-only none default=3600000
  How often the provider's signature keys are fetched again.
sasl.oauthbearer.jwks.endpoint.retry.backoff.max.ms long low read-only none default=10000
  Longest pause between two attempts to fetch the signature keys.
sasl.oauthbearer.jwks.endpoint.retry.backoff.ms long low read-only none default=100
  First pause between two attempts to fetch the signature keys.
sasl.oauthbearer.jwks.endpoint.url string medium read-only none
  URL or file of the provider's signature keys.
sasl.oauthbearer.jwt.retriever.class class medium read-only none
+ default=org.apache.kafka.common.security.oauthbearer.DefaultJwtRetriever
  Java class that fetches tokens. This broker loads no classes that are named in a config.
sasl.oauthbearer.jwt.validator.class class medium read-only none
+ default=org.apache.kafka.common.security.oauthbearer.DefaultJwtValidator
  Java class that checks tokens. This broker loads no classes that are named in a config.
sasl.oauthbearer.scope string medium read-only none
  Scope that is asked for with a token.
sasl.oauthbearer.scope.claim.name string low read-only none default=scope
  Name of the claim that holds the scope.
sasl.oauthbearer.sub.claim.name string low read-only none default=sub
  Name of the claim that holds the subject, which becomes the principal.
sasl.oauthbearer.token.endpoint.url string medium read-only none
  URL at which tokens are fetched.
sasl.server.callback.handler.class class medium read-only none
  Java class that checks SASL credentials. This broker loads no classes that are named in a config.
sasl.server.max.receive.size int medium read-only none default=524288
  Largest request before authentication is done.
security.inter.broker.protocol string medium read-only none default=PLAINTEXT
+ values=PLAINTEXT,SSL,SASL_PLAINTEXT,SASL_SSL
  Security protocol between brokers.
security.providers string low read-only none
  Java classes of security providers. This broker loads no classes that are named in a config.
server.max.startup.time.ms long medium read-only none default=9223372036854775807 min=0 internal
  For Apache Kafka's own tests: longest time that starting may take.
share.coordinator.append.linger.ms int medium read-only none default=-1 min=-1
  How long the share coordinator collects writes before it appends them together; -1 adapts to the load.
share.coordinator.cached.buffer.max.bytes int medium cluster-wide none default=1048588 min=524288
  Largest write buffer that the share coordinator keeps for reuse.
share.coordinator.cold.partition.snapshot.interval.ms int low read-only none default=300000 min=1 internal
  How often idle share partitions are snapshotted all the same.
share.coordinator.load.buffer.size int high read-only none default=5242880 min=1
  Batch size with which share state is read at start.
share.coordinator.snapshot.update.records.per.snapshot int medium read-only none default=500 min=0 max=500
  Updates of a share partition between two snapshots.
share.coordinator.state.topic.compression.codec int high read-only none default=0
  Codec of the share state topic by its number; 0 is none.
share.coordinator.state.topic.min.isr short high read-only none default=2 min=1
  min.insync.replicas of the share state topic.
share.coordinator.state.topic.num.partitions int high read-only none default=50 min=1
  Partitions of the share state topic.
share.coordinator.state.topic.prune.interval.ms int low read-only none default=300000 min=1 internal
  How often share state that is no longer needed is deleted.
share.coordinator.state.topic.replication.factor short high read-only none default=3 min=1
  Replicas of the share state topic.
share.coordinator.state.topic.segment.bytes int high read-only none default=104857600 min=1
  Segment size of the share state topic.
share.coordinator.threads int medium read-only none default=1 min=1
  Threads of the share coordinator in Apache Kafka.
share.coordinator.write.timeout.ms int high read-only none default=5000 min=1
  How long a write of share state waits for its replicas.
share.fetch.purgatory.purge.interval.requests int medium read-only none default=1000
  After how many finished share fetches the list of waiting ones is swept.
shutdown.grace.ms int low read-only yes default=3000 min=0
  Our own key. How long requests in flight may take to finish when the server stops.
socket.connection.setup.timeout.max.ms long medium read-only none default=30000
  Longest time that setting up a connection to another broker may take after several failures.
socket.connection.setup.timeout.ms long medium read-only none default=10000
  Time that setting up a connection to another broker may take.
socket.listen.backlog.size int medium read-only yes default=50 min=1
  Connections that the system may queue before the broker accepts them.
socket.receive.buffer.bytes int high read-only yes default=102400
  Receive buffer of client sockets (SO_RCVBUF); -1 leaves it to the system.
socket.request.max.bytes int high read-only yes default=104857600 min=1
  Largest request that is read; a connection that announces more is closed.
socket.send.buffer.bytes int high read-only yes default=102400
  Send buffer of client sockets (SO_SNDBUF); -1 leaves it to the system.
ssl.allow.dn.changes boolean low read-only none default=false
  Lets a new keystore have another distinguished name than the old one.
ssl.allow.san.changes boolean low read-only none default=false
  Lets a new keystore have other alternative names than the old one.
ssl.cipher.suites list medium per-broker none default=
  Cipher suites that are allowed; empty allows the library's defaults.
ssl.client.auth string medium per-broker none default=none values=required,requested,none
  Whether clients must, may or need not present a certificate.
ssl.enabled.protocols list medium per-broker none default=TLSv1.2,TLSv1.3
  TLS versions that are allowed.
ssl.endpoint.identification.algorithm string low per-broker none default=https
  How a client checks the host name in a certificate; empty turns the check off.
ssl.engine.factory.class class low per-broker none
  Java class that makes TLS engines. This broker loads no classes that are named in a config.
ssl.key.password password medium per-broker none
  Password of the private key.
ssl.keymanager.algorithm string medium per-broker none default=SunX509
  Algorithm of the Java key manager.
ssl.keystore.certificate.chain password medium per-broker none
  Certificate chain as PEM text.
ssl.keystore.key password medium per-broker none
  Private key as PEM text.
ssl.keystore.location string medium per-broker none
  File with key and certificates.
ssl.keystore.password password medium per-broker none
  Password of the key store file.
ssl.keystore.type string medium per-broker none default=JKS
  Format of the key store: JKS, PKCS12 or PEM.
ssl.principal.mapping.rules string low read-only none default=DEFAULT
  Rules that turn the distinguished name of a certificate into a principal.
ssl.protocol string medium per-broker none default=TLSv1.3
  TLS version that is preferred.
ssl.provider string medium per-broker none
  Java security provider for TLS.
ssl.secure.random.implementation string low per-broker none
  Random number generator for TLS.
ssl.trustmanager.algorithm string medium per-broker none default=PKIX
  Algorithm of the Java trust manager.
ssl.truststore.certificates password medium per-broker none
  Trusted certificates as PEM text.
ssl.truststore.location string medium per-broker none
  File with the trusted certificates.
ssl.truststore.password password medium per-broker none
  Password of the trust store file.
ssl.truststore.type string medium per-broker none default=JKS
  Format of the trust store: JKS, PKCS12 or PEM.
storage string high read-only yes default=disk values=memory,disk
  Our own key. Where records are kept: `memory` forgets them when the server stops, `disk` keeps them in log.dirs.
telemetry.max.bytes int low read-only yes default=1048576 min=1
  Largest push of client metrics (KIP-714), measured as it arrives.
transaction.abort.timed.out.transaction.cleanup.interval.ms int low read-only yes default=10000 min=1
  How often it is looked for transactions that have run out of time, in order to abort them.
transaction.max.timeout.ms int high read-only yes default=900000 min=1
  Longest transaction time-out that a producer may ask for.
transaction.partition.verification.enable boolean low cluster-wide yes default=true
  Checks that a partition belongs to the transaction before transactional records are appended to it (KIP-890).
transaction.remove.expired.transaction.cleanup.interval.ms int low read-only yes default=3600000 min=1
  How often it is looked for transactional ids that have expired.
transaction.state.log.load.buffer.size int high read-only none default=5242880 min=1
  Batch size with which transaction state is read at start.
transaction.state.log.min.isr int high read-only none default=2 min=1
  min.insync.replicas of the transaction state topic.
transaction.state.log.num.partitions int high read-only none default=50 min=1
  Partitions of the transaction state topic. Must not change once transactions exist.
transaction.state.log.replication.factor short high read-only none default=3 min=1
  Replicas of the transaction state topic. Clamped to the number of brokers here.
transaction.state.log.segment.bytes int high read-only none default=104857600 min=1
  Segment size of the transaction state topic.
transaction.two.phase.commit.enable boolean low read-only none default=false
  Lets producers take part in a two-phase commit that an outside coordinator runs (KIP-939).
transactional.id.expiration.ms int high read-only yes default=604800000 min=1
  How long a transactional id without a transaction is remembered.
unclean.leader.election.enable boolean high cluster-wide none default=false
  Lets a replica that lags become leader when no other is left, at the price of lost records.
unclean.leader.election.interval.ms long medium read-only none default=300000 min=1 internal
  How often the controller looks for partitions that need an unclean election.
unstable.api.versions.enable boolean high read-only none default=false internal
  Serves API versions that are still being developed.
unstable.feature.versions.enable boolean high read-only none default=false internal
  Allows feature levels that are still being developed.
"""

TOPIC: Final = r"""
cleanup.policy list medium cluster-wide yes default=delete values=compact,delete synonyms=log.cleanup.policy
  What happens to old records: `delete` drops them by age and size, `compact` keeps the newest per key and requires
  keys. Both may be combined; empty keeps everything.
compression.gzip.level int medium cluster-wide yes default=-1 min=1 max=9 also=-1 synonyms=compression.gzip.level
  Level used when the broker itself compresses with gzip: 1 is fast, 9 is small, -1 is the codec's default.
compression.lz4.level int medium cluster-wide yes default=9 min=1 max=17 synonyms=compression.lz4.level
  Level used when the broker itself compresses with lz4, from 1 to 17.
compression.type string medium cluster-wide yes default=producer values=uncompressed,zstd,lz4,snappy,gzip,producer
+ synonyms=compression.type
  Codec in which the topic keeps its batches. `producer` keeps each batch as it came; any other value makes the broker
  recompress what differs.
compression.zstd.level int medium cluster-wide yes default=3 min=-131072 max=22 synonyms=compression.zstd.level
  Level used when the broker itself compresses with zstd. Negative levels trade size for speed.
delete.retention.ms long medium cluster-wide yes default=86400000 min=0 synonyms=log.cleaner.delete.retention.ms
  How long a tombstone or a transaction marker stays in a compacted topic, so that a reader who began before can still
  see it.
errors.deadletterqueue.group.enable boolean medium cluster-wide none default=false
  Allows share groups to write undeliverable records to this topic (KIP-1191).
file.delete.delay.ms long medium cluster-wide yes default=60000 min=0 synonyms=log.segment.delete.delay.ms
  Wait between taking a file out of the log and deleting it, so that readers can finish.
flush.messages long medium cluster-wide yes default=9223372036854775807 min=1 synonyms=log.flush.interval.messages
  Forces an fsync after this many records of a partition. Rarely wise; see the `flush` policy.
flush.ms long medium cluster-wide yes default=9223372036854775807 min=0
+ synonyms=log.flush.interval.ms,log.flush.scheduler.interval.ms
  Longest that a record may lie in memory before an fsync is forced.
follower.replication.throttled.replicas list medium cluster-wide none default= pattern=\*|[0-9]+:[0-9]+
  Followers whose copying is throttled, as partition:broker pairs, or `*`.
index.interval.bytes int medium cluster-wide yes default=4096 min=0 synonyms=log.index.interval.bytes
  An index entry is added after about this many bytes of records.
internal.segment.bytes int medium cluster-wide yes internal
  Segment size below what segment.bytes allows. Meant for tests.
leader.replication.throttled.replicas list medium cluster-wide none default= pattern=\*|[0-9]+:[0-9]+
  Leaders whose sending to followers is throttled, as partition:broker pairs, or `*`.
local.retention.bytes long medium cluster-wide none default=-2 min=-2 synonyms=log.local.retention.bytes
  Bytes of a tiered partition that stay on the local disk; -2 follows retention.bytes.
local.retention.ms long medium cluster-wide none default=-2 min=-2 synonyms=log.local.retention.ms
  How long records of a tiered partition stay on the local disk; -2 follows retention.ms.
max.compaction.lag.ms long medium cluster-wide yes default=9223372036854775807 min=1
+ synonyms=log.cleaner.max.compaction.lag.ms
  Longest that a record may wait for compaction.
max.decompressed.message.bytes int medium cluster-wide none default=2147483639 min=1 max=2147483639
+ synonyms=max.decompressed.message.bytes
  Largest size of a record once it is decompressed. A guard against decompression bombs.
max.message.bytes int medium cluster-wide yes default=1048588 min=0 synonyms=message.max.bytes
  Largest batch that the topic accepts, measured as it arrives, compressed.
message.timestamp.after.max.ms long medium cluster-wide yes default=3600000 min=0
+ synonyms=log.message.timestamp.after.max.ms
  How far a record's timestamp may lie ahead of the broker's clock before the record is refused.
message.timestamp.before.max.ms long medium cluster-wide yes default=9223372036854775807 min=0
+ synonyms=log.message.timestamp.before.max.ms
  How far a record's timestamp may lie behind the broker's clock before the record is refused.
message.timestamp.type string medium cluster-wide yes default=CreateTime values=CreateTime,LogAppendTime
+ synonyms=log.message.timestamp.type
  Whether records keep the time that the producer gave them (CreateTime) or get the broker's (LogAppendTime).
min.cleanable.dirty.ratio double medium cluster-wide yes default=0.5 min=0 max=1
+ synonyms=log.cleaner.min.cleanable.ratio
  Share of not yet compacted bytes from which the log is worth compacting.
min.compaction.lag.ms long medium cluster-wide yes default=0 min=0 synonyms=log.cleaner.min.compaction.lag.ms
  A record stays safe from compaction for at least this long. Must not exceed max.compaction.lag.ms.
min.insync.replicas int medium cluster-wide none default=1 min=1 synonyms=min.insync.replicas
  Replicas that must be in sync before acks=all is answered with success, but never more than the partition has. With
  one broker it is always 1.
preallocate boolean medium cluster-wide none default=false synonyms=log.preallocate
  Reserves the file space of a new segment at once.
remote.copy.lag.bytes long medium cluster-wide none default=-1 min=-1 synonyms=log.remote.copy.lag.bytes
  Size of newer data from which a closed segment may be copied to remote storage.
remote.copy.lag.ms long medium cluster-wide none default=0 min=-1 synonyms=log.remote.copy.lag.ms
  Age from which a closed segment may be copied to remote storage.
remote.log.copy.disable boolean medium cluster-wide none default=false
  Stops copying to remote storage; what is there stays readable.
remote.log.delete.on.disable boolean medium cluster-wide none default=false
  Deletes what is in remote storage when tiering is turned off for the topic.
remote.storage.enable boolean medium cluster-wide none default=false
  Moves closed segments to remote storage. Refused here, because this broker has no tiered storage.
retention.bytes long medium cluster-wide yes default=-1 synonyms=log.retention.bytes
  Size above which a partition drops its oldest segments; -1 sets no bound.
retention.ms long medium cluster-wide yes default=604800000 min=-1
+ synonyms=log.retention.ms,log.retention.minutes*60000,log.retention.hours*3600000
  Milliseconds that records are kept; -1 keeps them for ever.
segment.bytes int medium cluster-wide yes default=1073741824 min=1048576 synonyms=log.segment.bytes
  Size at which a new segment is begun. Also the largest batch that can be stored.
segment.index.bytes int medium cluster-wide yes default=10485760 min=4 synonyms=log.index.size.max.bytes
  Largest size of an offset index.
segment.jitter.ms long medium cluster-wide none default=0 min=0
+ synonyms=log.roll.jitter.ms,log.roll.jitter.hours*3600000
  Random milliseconds taken off segment.ms, so that segments do not all roll at once.
segment.ms long medium cluster-wide yes default=604800000 min=1 synonyms=log.roll.ms,log.roll.hours*3600000
  Milliseconds after which a new segment is begun even if the last one is not full.
unclean.leader.election.enable boolean medium cluster-wide none default=false synonyms=unclean.leader.election.enable
  Lets a replica that lags become leader when no other is left, at the price of lost records.
"""

GROUP: Final = r"""
consumer.assignment.interval.ms int medium cluster-wide yes default=1000 min=0
+ synonyms=group.consumer.assignment.interval.ms
  Shortest time between two assignments of this consumer group (KIP-848).
consumer.assignor.offload.enable boolean medium cluster-wide none default=true
+ synonyms=group.consumer.assignor.offload.enable internal
  Computes the assignments of this consumer group (KIP-848) on a background thread.
consumer.heartbeat.interval.ms int medium cluster-wide yes default=5000 min=1
+ synonyms=group.consumer.heartbeat.interval.ms
  Heartbeat interval that members of this consumer group (KIP-848) are told.
consumer.session.timeout.ms int medium cluster-wide yes default=45000 min=1 synonyms=group.consumer.session.timeout.ms
  A member of this consumer group (KIP-848) that stays silent for this long is removed. Must exceed the heartbeat
  interval.
errors.deadletterqueue.copy.record.enable boolean medium cluster-wide none default=false
  Copies the record itself to the dead-letter topic instead of only headers that say where it lies (KIP-1191).
errors.deadletterqueue.topic.name string medium cluster-wide none default=
  Dead-letter topic of this share group; empty means none (KIP-1191).
share.assignment.interval.ms int medium cluster-wide none default=1000 min=0 synonyms=group.share.assignment.interval.ms
  Shortest time between two assignments of this share group.
share.assignor.offload.enable boolean medium cluster-wide none default=true synonyms=group.share.assignor.offload.enable
+ internal
  Computes the assignments of this share group on a background thread.
share.auto.offset.reset string medium cluster-wide none default=latest
+ pattern=latest|earliest|by_duration:P(?=.)([0-9]+D)?(T(?=.)([0-9]+H)?([0-9]+M)?([0-9]+(\.[0-9]+)?S)?)?
  Where a share group begins on a partition that it has never read: `latest`, `earliest`, or `by_duration:` and an ISO
  8601 duration back from now.
share.delivery.count.limit int medium cluster-wide none default=5 min=2 synonyms=group.share.delivery.count.limit
  How often a record is delivered in this share group before it counts as undeliverable.
share.heartbeat.interval.ms int medium cluster-wide none default=5000 min=1 synonyms=group.share.heartbeat.interval.ms
  Heartbeat interval that members of this share group are told.
share.isolation.level string medium cluster-wide none default=read_uncommitted values=read_committed,read_uncommitted
  Whether this share group sees records of transactions that are still open or were aborted (read_uncommitted) or only
  committed ones.
share.partition.max.record.locks int medium cluster-wide none default=2000 min=100
+ synonyms=group.share.partition.max.record.locks
  Most records of one partition that may be out with consumers of this share group at a time.
share.record.lock.duration.ms int medium cluster-wide none default=30000 min=1000
+ synonyms=group.share.record.lock.duration.ms
  How long a record belongs to the share consumer that got it, before it is given to another.
share.renew.acknowledge.enable boolean medium cluster-wide none default=true
  Lets consumers of this share group prolong the lock of a record.
share.session.timeout.ms int medium cluster-wide none default=45000 min=1 synonyms=group.share.session.timeout.ms
  A member of this share group that stays silent for this long is removed. Must exceed the heartbeat interval.
streams.acceptable.recovery.lag long medium cluster-wide none default=10000 min=0
+ synonyms=group.streams.acceptable.recovery.lag internal
  Lag up to which a client of this Streams group counts as caught up and may be given an active task.
streams.assignment.interval.ms int medium cluster-wide none default=1000 min=0
+ synonyms=group.streams.assignment.interval.ms
  Shortest time between two assignments of this Streams group.
streams.assignor.name string medium cluster-wide none synonyms=group.streams.assignors
  Task assignor of this Streams group; without it the broker's first one.
streams.assignor.offload.enable boolean medium cluster-wide none default=true
+ synonyms=group.streams.assignor.offload.enable internal
  Computes the assignments of this Streams group on a background thread.
streams.heartbeat.interval.ms int medium cluster-wide none default=5000 min=1
+ synonyms=group.streams.heartbeat.interval.ms
  Heartbeat interval that members of this Streams group are told.
streams.initial.rebalance.delay.ms int medium cluster-wide none default=3000 min=0
+ synonyms=group.streams.initial.rebalance.delay.ms
  How long this Streams group, when new, waits for more clients before its first rebalance.
streams.num.standby.replicas int medium cluster-wide none default=0 min=0 synonyms=group.streams.num.standby.replicas
  Spare copies of each task's state in this Streams group.
streams.num.warmup.replicas int medium cluster-wide none default=2 min=0 synonyms=group.streams.num.warmup.replicas
+ internal
  Most copies of state that this Streams group may build up at a time in order to move tasks.
streams.rack.aware.assignment.tags list low cluster-wide none default= synonyms=group.streams.rack.aware.assignment.tags
  Client tags over which this Streams group spreads its standby tasks.
streams.session.timeout.ms int medium cluster-wide none default=45000 min=1 synonyms=group.streams.session.timeout.ms
  A member of this Streams group that stays silent for this long is removed.
streams.task.offset.interval.ms int medium cluster-wide none default=60000 min=1
+ synonyms=group.streams.task.offset.interval.ms internal
  How often a client of this Streams group reports how far the state of its warm-up tasks is restored.
"""

CLIENT_METRICS: Final = r"""
interval.ms int medium cluster-wide yes default=300000
  How often clients push, 100 ms to 1 h. Of several subscriptions that concern a client the shortest interval counts.
match list medium cluster-wide yes default=
  Which clients are asked, as selector=pattern pairs that must all match as a whole, for instance client_id=app-.*;
  empty means all clients.
metrics list medium cluster-wide yes default=
  Prefixes of the names of metrics that clients shall push, or * for all of them.
"""
