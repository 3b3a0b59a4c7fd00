//! Every rule of the walk, on data sets made by hand.
