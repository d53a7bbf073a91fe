# Makes examples/users.jsonl: 10,000 users, the same ones every time, a dozen of them broken on purpose.
#   awk -f dev/make-users.awk > examples/users.jsonl
function next_number(most) { # 0 … most-1, by Park and Miller's generator
  seed = (seed * 16807) % 2147483647
  return seed % most
}
function pick(list, count) { return list[1 + next_number(count)] }
BEGIN {
  seed = 20240229
  firsts = split("Ada Boris Chidi Dunja Emre Fatima Goran Hana Ines Jonas Katya Leïla Mats Noor Olu Priya Quinn Rosa Søren Tomás", first, " ")
  lasts = split("Adeyemi Baker Çelik Dubois Eriksen Farah García Haddad Ito Jansen Kowalski Lindqvist Moreau Nakamura O'Neill Petrov Rossi Schmidt Tanaka Weber", last, " ")
  cities = split("Accra Berlin Cairo Dublin Essen Fukuoka Geneva Hanoi Izmir Jaipur", city, " ")
  for (n = 1; n <= 10000; n++) {
    given = pick(first, firsts); family = pick(last, lasts); age = 5 + next_number(80)
    # Ids above 2^53, to show that no digit is lost.
    id = sprintf("90071992547%06d", 40993 + n)
    rest = sprintf("\"name\":\"%s %s\",\"email\":\"user%d@example.com\",\"age\":%s,\"balance\":%d.%02d,\"active\":%s,\"address\":{\"city\":\"%s\"}}", \
      given, family, n, age, next_number(100000), next_number(100), next_number(3) ? "true" : "false", pick(city, cities))
    line = "{\"id\":" id "," rest
    if (n % 1000 == 321) { sub(/"age":[0-9]+/, "\"age\":\"" age "\"", line) } # a number as text
    if (n % 5000 == 2718) { line = substr(line, 1, 60) }                       # cut off
    if (n == 7777) { line = "[" id ", \"" given "\"]" }                        # no object
    if (n % 2500 == 99) { sub(/"age":[0-9]+/, "\"age\":null", line) }          # unknown: not over 18
    print line
  }
}
