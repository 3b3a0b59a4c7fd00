#!/bin/bash
# Builds target/release/auscult-cuda, which computes the model on an NVIDIA device, and beside it cuda/, the libraries that
# it takes along: packaging/build-cuda.sh. Neither a device nor a driver is needed here; Python 3 with venv, a C++ compiler,
# and 10 GB of disk are.
#
#   FEATURES=cudnn        convolutions by cuDNN instead of candle's own kernels (default: cuda)
#   CUDA_COMPUTE_CAP=80   the oldest generation of devices that the kernels run on, those after it included:
#                         75 Turing (T4), 80 Ampere (A100), 86 (A10), 89 Ada (L4), 90 Hopper (H100), 120 Blackwell
#   TOOLKIT=DIR           where the virtual environment with the toolkit is, or will be (default: target/cuda-toolkit)
set -euo pipefail
cd "$(dirname "$0")/.."

features=${FEATURES:-cuda}
target=${CARGO_TARGET_DIR:-target}
toolkit=$(realpath -m "${TOOLKIT:-$target/cuda-toolkit}")
export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-80}

# NVIDIA's compiler, headers and libraries, as Python packages of its own.
if [ ! -x "$toolkit/bin/python" ]; then
    python3 -m venv "$toolkit"
fi
"$toolkit/bin/pip" install --quiet --disable-pip-version-check \
    'cuda-toolkit[nvcc,cccl,cudart,cublas,curand,nvrtc,nvvm,crt,profiler]==13.0.*' nvidia-cudnn-cu13
packages=$("$toolkit/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/nvidia
export CUDA_HOME=$packages/cu13 CUDNN_LIB=$packages/cudnn
export PATH=$CUDA_HOME/bin:$PATH

# The packages have libX.so.N only; the linker looks for libX.so.
for library in "$CUDA_HOME"/lib/lib*.so.* "$CUDNN_LIB"/lib/lib*.so.*; do
    ln -sf "${library##*/}" "${library%%.so.*}.so"
done

# The driver's library comes with the driver and must not be taken along. One with the same names, whose functions answer
# CUDA_ERROR_STUB_LIBRARY (34), lets the linker do without.
stubs=$CUDA_HOME/lib/stubs
mkdir -p "$stubs"
grep -oE '\bcu[A-Z][A-Za-z0-9_]*\b' "$CUDA_HOME/include/cuda.h" | sort -u |
    sed 's/.*/int &(void) { return 34; }/' >"$stubs/cuda.c"
cc -w -shared -fPIC -Wl,-soname,libcuda.so.1 -o "$stubs/libcuda.so" "$stubs/cuda.c"

# The same crate under another name. $ORIGIN is the directory of the executable, wherever it is installed.
built=$target/cuda-build
CARGO_TARGET_DIR=$built cargo rustc --locked --release --features "$features" --bin auscult -- \
    -C 'link-arg=-Wl,-rpath,$ORIGIN/cuda'
rm -rf "$target/release/cuda"
mkdir -p "$target/release/cuda"
install -m 755 "$built/release/auscult" "$target/release/auscult-cuda"

# What the executable needs of the toolkit, and what that needs in turn.
for library in "$CUDA_HOME"/lib/lib*.so.* "$CUDNN_LIB"/lib/lib*.so.*; do
    case ${library##*/} in
        libcudnn*) [[ $features = *cudnn* ]] || continue ;;
        libnvblas* | libnvvm* | *.alt.*) continue ;;
    esac
    ln -sf "$library" "$target/release/cuda/"
done
printf 'built %s; install it with the libraries: README.md, "On a GPU"\n' "$target/release/auscult-cuda"
