// What Java tools (DBeaver, Metabase, Tableau, Spark) do through pgjdbc. Usage: java -cp postgresql.jar Clients.java URL USER PASSWORD
import java.sql.*;
import java.util.*;

public class Clients {
  public static void main(String[] args) throws Exception {
    Properties properties = new Properties();
    properties.setProperty("user", args[1]);
    properties.setProperty("password", args[2]);
    try (Connection connection = DriverManager.getConnection(args[0], properties)) {
      DatabaseMetaData meta = connection.getMetaData();
      say("product", meta.getDatabaseProductName() + " " + meta.getDatabaseMajorVersion());
      say("catalogs", column(meta.getCatalogs(), 1));
      say("schemas", column(meta.getSchemas(), 1));
      say("tables", column(meta.getTables(null, "lake", "%", new String[] {"TABLE"}), 3));
      say("columns", column(meta.getColumns(null, "lake", "events", "%"), 4) + " " + column(meta.getColumns(null, "lake", "posts", "hashtags"), 6));
      say("keys", "" + column(meta.getPrimaryKeys(null, "lake", "posts"), 4) + column(meta.getImportedKeys(null, "lake", "posts"), 4) + column(meta.getIndexInfo(null, "lake", "posts", false, false), 6));
      say("types", column(meta.getTypeInfo(), 1).size() > 300);

      // From the fifth execution on pgjdbc prepares on the server and asks for binary.
      try (PreparedStatement statement = connection.prepareStatement(
          "select log_offset, text, created_at, latitude, author_verified, hashtags, reposts::int as r, 1.50::decimal(12,2) as d, "
          + "date '2013-06-20' as day, time '12:34:56' as clock, 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid as u, 12345678901234567890123::hugeint as h "
          + "from posts where log_offset = ? and created_at >= ? and text like ?")) {
        Set<String> seen = new TreeSet<>();
        for (int i = 0; i < 10; i++) {
          statement.setLong(1, 1);
          statement.setTimestamp(2, Timestamp.from(java.time.Instant.parse("2013-06-20T00:00:00Z")));
          statement.setString(3, "post%");
          try (ResultSet row = statement.executeQuery()) {
            row.next();
            seen.add(row.getLong(1) + "|" + row.getString(2) + "|" + row.getTimestamp(3).toInstant() + "|" + row.getDouble(4) + "|" + row.getBoolean(5) + "|"
                + Arrays.toString((Object[]) row.getArray(6).getArray()) + "|" + row.getInt(7) + "|" + row.getBigDecimal(8) + "|" + row.getObject(9, java.time.LocalDate.class)
                + "|" + row.getObject(10, java.time.LocalTime.class) + "|" + row.getObject(11) + "|" + row.getBigDecimal(12));
          }
        }
        say("ten", seen);
      }
      connection.setAutoCommit(false);
      connection.setReadOnly(true);
      try (Statement statement = connection.createStatement()) {
        statement.setFetchSize(700);
        int rows = 0;
        try (ResultSet result = statement.executeQuery("select log_offset, text from posts order by 1")) {
          while (result.next()) if (result.getLong(1) != rows++) throw new IllegalStateException("out of order");
        }
        say("fetched", rows);
        try {
          statement.executeQuery("select nope from posts");
        } catch (SQLException error) {
          say("error", error.getSQLState());
        }
        connection.rollback();
        Savepoint savepoint = connection.setSavepoint();
        connection.rollback(savepoint);
        connection.commit();
        statement.setQueryTimeout(1);
        try {
          statement.executeQuery("select count(*) from posts a, posts b, posts c, posts d where a.log_offset + b.log_offset + c.log_offset = d.log_offset * 7");
        } catch (SQLException error) {
          say("timeout", error.getSQLState());
        }
        connection.rollback();
        try {
          statement.executeUpdate("create temporary table x (a int)");
        } catch (SQLException error) {
          say("write", error.getSQLState());
        }
        connection.rollback();
      }
      connection.setAutoCommit(true);
      try (PreparedStatement batch = connection.prepareStatement("select count(*) from posts where log_offset = any(?)")) {
        batch.setArray(1, connection.createArrayOf("bigint", new Long[] {1L, 2L, 99999L}));
        try (ResultSet row = batch.executeQuery()) {
          row.next();
          say("array", row.getLong(1));
        }
      }
      org.postgresql.copy.CopyManager copy = connection.unwrap(org.postgresql.PGConnection.class).getCopyAPI();
      java.io.StringWriter text = new java.io.StringWriter();
      say("copied", copy.copyOut("copy (select log_offset from posts order by 1 limit 3) to stdout csv", text) + " " + text.toString().trim().replace("\n", ","));
    }
  }

  static List<String> column(ResultSet result, int index) throws SQLException {
    List<String> values = new ArrayList<>();
    while (result.next()) values.add(result.getString(index));
    return values;
  }

  static void say(String name, Object value) {
    System.out.println(name + "=" + value);
  }
}
