package bench;

import java.util.Map;
import org.apache.kafka.common.config.ConfigDef;
import org.apache.kafka.connect.connector.ConnectRecord;
import org.apache.kafka.connect.data.Struct;
import org.apache.kafka.connect.transforms.predicates.Predicate;

/** Kafka's own predicates cannot look into a value: this one holds for records whose age is at most `max`. */
public class Filter<R extends ConnectRecord<R>> implements Predicate<R> {
    private long max;
    public ConfigDef config() { return new ConfigDef().define("max", ConfigDef.Type.LONG, 18L, ConfigDef.Importance.HIGH, "largest age that is dropped"); }
    public boolean test(R r) {
        Object v = r.value();
        Object a = v instanceof Map ? ((Map<?, ?>) v).get("age") : v instanceof Struct ? ((Struct) v).get("age") : null;
        return a instanceof Number && ((Number) a).longValue() <= max;
    }
    public void configure(Map<String, ?> c) { Object m = c.get("max"); if (m != null) max = Long.parseLong(m.toString()); else max = 18; }
    public void close() { }
}
