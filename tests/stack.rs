//! The stack of the live tests.

#![cfg(unix)]

#[path = "support/http.rs"]
mod http;
#[expect(dead_code, reason = "each test binary uses a part of the support")]
#[path = "support/stack.rs"]
mod stack;

use stack::stack;

#[test]
fn a_row_written_over_the_api_is_in_the_database() {
    let Some(stack) = stack() else { return };
    stack.sql("CREATE TABLE written (id bigint PRIMARY KEY, v text)");
    stack.reload();
    let reply = stack.ask("POST", "/rest/v1/written", "secret", Some(r#"[{"id":1,"v":"x"}]"#)).unwrap();
    assert_eq!((reply.status, stack.sql("TABLE written").as_str()), (201, "1|x"));
}
