//! Tries the network and prints each way that worked. Prints nothing when there is none.

use std::net::TcpListener;
use std::net::TcpStream;
use std::net::ToSocketAddrs;
use std::net::UdpSocket;

fn main() {
    let address = guests::arg(0).expect("an address that listens");
    if TcpStream::connect(&address).is_ok() {
        println!("connected to {address}");
    }
    if TcpListener::bind("127.0.0.1:0").is_ok() {
        println!("listens");
    }
    if UdpSocket::bind("127.0.0.1:0").is_ok_and(|socket| socket.send_to(b"out", &address).is_ok()) {
        println!("sent a datagram");
    }
    if "localhost:80".to_socket_addrs().is_ok_and(|mut found| found.next().is_some()) {
        println!("resolved a name");
    }
}
