#![no_main]

cnn_tb_fuzz::fuzz!("hparams_yaml");
