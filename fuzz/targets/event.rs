#![no_main]

cnn_tb_fuzz::fuzz!("event");
