//! stub
/// stub
pub fn names() -> Vec<String> { vec![] }
