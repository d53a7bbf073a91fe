//! Room for recursion. The planner goes down an expression in large steps, and may be called on a small stack.

/// Enough for the deepest expression that is let through, without optimisation, several times over.
const STACK: usize = 64 << 20;

/// Runs on a stack of its own, and waits for it. Planning happens once per expression and set of types.
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
