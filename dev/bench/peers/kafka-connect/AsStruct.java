package bench;

import java.util.Map;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.connect.connector.ConnectRecord;
import org.apache.kafka.connect.data.*;
import org.apache.kafka.connect.transforms.Transformation;

/** A JDBC sink needs a schema; plain JSON has none. Gives schemaless users their fixed schema. */
public class AsStruct<R extends ConnectRecord<R>> implements Transformation<R> {
    static final Schema S = SchemaBuilder.struct().name("users")
        .field("id", Schema.STRING_SCHEMA).field("name", Schema.STRING_SCHEMA).field("email", Schema.STRING_SCHEMA)
        .field("age", Schema.INT32_SCHEMA).field("country", Schema.STRING_SCHEMA).field("amount", Schema.FLOAT64_SCHEMA)
        .field("ts", SchemaBuilder.string().name("io.debezium.time.ZonedTimestamp").build()).build();
    public R apply(R r) {
        if (!(r.value() instanceof Map)) return r;
        Map<?, ?> m = (Map<?, ?>) r.value();
        Struct s = new Struct(S).put("id", m.get("id")).put("name", m.get("name")).put("email", m.get("email"))
            .put("age", ((Number) m.get("age")).intValue()).put("country", m.get("country"))
            .put("amount", ((Number) m.get("amount")).doubleValue()).put("ts", m.get("ts"));
        return r.newRecord(r.topic(), r.kafkaPartition(), null, null, S, s, r.timestamp());
    }
    public ConfigDef config() { return new ConfigDef(); }
    public void configure(Map<String, ?> c) { }
    public void close() { }
}
