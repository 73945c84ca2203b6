//! Leaves its marks, then calls itself until the stack is gone.

#[expect(unconditional_recursion, reason = "this is the sin")]
fn deeper(n: u64) -> u64 {
    let here = std::hint::black_box([n; 64]);
    deeper(n + 1) + here[usize::try_from(n % 64).expect("small")]
}

fn main() {
    guests::leave_marks();
    println!("{}", deeper(0));
}
