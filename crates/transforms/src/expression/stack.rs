//! Stack for recursion: the planner uses large stack frames per level, and may be called on a small stack.

/// Several times what planning the deepest accepted expression needs in a debug build.
const STACK: usize = 64 << 20;

/// Runs on a stack of its own, and waits for the result. Planning happens once per expression and set of types.
pub(crate) fn roomy<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("plan".into()).stack_size(STACK).spawn_scoped(scope, work);
        let done = thread.map(std::thread::ScopedJoinHandle::join);
        match done {
            Ok(Ok(result)) => result,
            Ok(Err(panic)) => std::panic::resume_unwind(panic),
            Err(error) => panic!("no thread could be started to plan an expression: {error}"),
        }
    })
}
