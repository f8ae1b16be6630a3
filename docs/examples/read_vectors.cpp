// Read the test vectors of `refrnn export DIR` and hold an implementation to them, in C++17 and
// nothing else. The implementation here is the plain forward pass: take it out and put yours in.
//
//   g++ -std=c++17 -O2 -o read_vectors read_vectors.cpp
//   ./read_vectors DIR            computes in double
//   ./read_vectors DIR float32    computes in float
//
// Exit status: 0 all within tolerance, 1 some are not, 2 the corpus cannot be read.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

// --- JSON ---------------------------------------------------------------------------------------

struct Json {
    enum Kind { null, boolean, number, string, array, object } kind = null;
    double value = 0; // of a number, or 0 and 1
    std::string text;
    std::vector<Json> items;
    std::map<std::string, Json> members;

    const Json &operator[](const std::string &name) const {
        auto found = members.find(name);
        if (found == members.end()) throw std::runtime_error("no member " + name);
        return found->second;
    }
    bool has(const std::string &name) const { return members.count(name) != 0; }
};

class JsonParser {
  public:
    explicit JsonParser(const std::string &source) : s(source) {}

    Json whole() {
        Json result = parse();
        if (next() != '\0') throw std::runtime_error("JSON goes on after its end");
        return result;
    }

  private:
    const std::string &s;
    std::size_t at = 0;

    char next() { // the next character that is no space
        while (at < s.size() && std::strchr(" \t\r\n", s[at])) at++;
        return at < s.size() ? s[at] : '\0';
    }
    void expect(char c) {
        if (next() != c) throw std::runtime_error(std::string("JSON lacks a ") + c);
        at++;
    }
    bool word(const char *w) {
        if (s.compare(at, std::strlen(w), w) != 0) return false;
        at += std::strlen(w);
        return true;
    }
    Json parse() {
        Json j;
        char c = next();
        if (c == '{' || c == '[') {
            bool is_object = c == '{';
            j.kind = is_object ? Json::object : Json::array;
            char end = is_object ? '}' : ']';
            at++;
            while (next() != end) {
                if (is_object) {
                    std::string name = quoted();
                    expect(':');
                    j.members[name] = parse();
                } else {
                    j.items.push_back(parse());
                }
                if (next() != end) expect(',');
            }
            at++;
        } else if (c == '"') {
            j.kind = Json::string;
            j.text = quoted();
        } else if (word("true")) {
            j.kind = Json::boolean;
            j.value = 1;
        } else if (word("false")) {
            j.kind = Json::boolean;
        } else if (!word("null")) {
            std::size_t length = 0;
            j.kind = Json::number;
            j.value = std::stod(s.substr(at, 40), &length);
            at += length;
        }
        return j;
    }
    std::string quoted() {
        expect('"');
        std::string result;
        while (at < s.size() && s[at] != '"') {
            if (s[at] == '\\') at++; // of the escapes only \" and \\ occur
            if (at < s.size()) result += s[at++];
        }
        expect('"');
        return result;
    }
};

// --- safetensors: 8 bytes, a JSON header of that length, raw little-endian numbers --------------

struct Array {
    std::vector<std::int64_t> shape;
    std::vector<double> numbers; // float64, or int64 converted
};
using Arrays = std::map<std::string, Array>;

std::string read_file(const std::string &path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error("cannot read " + path);
    return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

Arrays read_safetensors(const std::string &path) {
    std::string data = read_file(path);
    std::uint64_t length = 0;
    for (std::size_t i = 0; i < 8 && i < data.size(); i++) {
        length |= std::uint64_t(static_cast<unsigned char>(data[i])) << (8 * i);
    }
    if (data.size() < 8 || length > data.size() - 8) throw std::runtime_error(path + " is cut short");
    std::string text = data.substr(8, length), body = data.substr(8 + length);
    Json header = JsonParser(text).whole();
    Arrays arrays;
    for (const auto &[name, facts] : header.members) {
        if (name == "__metadata__") continue;
        Array array;
        std::size_t count = 1;
        for (const Json &n : facts["shape"].items) {
            array.shape.push_back(std::int64_t(n.value));
            count *= std::size_t(n.value);
        }
        std::size_t first = std::size_t(facts["data_offsets"].items.at(0).value);
        if (first + 8 * count > body.size()) throw std::runtime_error(path + " is cut short");
        array.numbers.resize(count);
        for (std::size_t i = 0; i < count; i++) { // this machine is little-endian
            if (facts["dtype"].text == "I64") {
                std::int64_t whole;
                std::memcpy(&whole, &body[first + 8 * i], 8);
                array.numbers[i] = double(whole);
            } else {
                std::memcpy(&array.numbers[i], &body[first + 8 * i], 8);
            }
        }
        arrays[name] = array;
    }
    return arrays;
}

// --- the implementation under test --------------------------------------------------------------

template <typename Real> Real sigmoid(Real a) { return 1 / (1 + std::exp(-a)); }

// The pre-activations of W v + b of all gates; an absent bias is zero.
template <typename Real>
std::vector<Real> affine(const Arrays &in, const char *W, const char *b, const std::vector<Real> &v) {
    const Array &matrix = in.at(W);
    std::vector<Real> result(std::size_t(matrix.shape[0]));
    for (std::size_t i = 0; i < result.size(); i++) {
        for (std::size_t k = 0; k < v.size(); k++) {
            result[i] += Real(matrix.numbers[i * v.size() + k]) * v[k];
        }
        if (in.count(b)) result[i] += Real(in.at(b).numbers[i]);
    }
    return result;
}

// One step of a plain cell: equations R1-R2, L1-L6, G1-G4 of refrnn's notation page.
template <typename Real>
void step(const Json &facts, const Arrays &in, std::vector<Real> x, std::vector<Real> &h,
          std::vector<Real> &c) {
    std::size_t H = h.size();
    std::vector<Real> a = affine(in, "W_ih", "b_ih", x), u = affine(in, "W_hh", "b_hh", h);
    for (std::size_t j = 0; j < H; j++) {
        if (facts["cell"].text == "LSTM") {
            Real i = sigmoid(a[j] + u[j]), f = sigmoid(a[H + j] + u[H + j]);
            Real g = std::tanh(a[2 * H + j] + u[2 * H + j]);
            c[j] = f * c[j] + i * g;
            h[j] = sigmoid(a[3 * H + j] + u[3 * H + j]) * std::tanh(c[j]);
        } else if (facts["cell"].text == "GRU") { // reset after
            Real r = sigmoid(a[j] + u[j]), z = sigmoid(a[H + j] + u[H + j]);
            Real n = std::tanh(a[2 * H + j] + r * u[2 * H + j]);
            h[j] = z * h[j] + (1 - z) * n;
        } else {
            h[j] = std::tanh(a[j] + u[j]);
        }
    }
}

// Output, h_n and c_n of a case, in the shapes of the expected ones.
template <typename Real> Arrays forward(const Json &facts, const Arrays &in) {
    std::size_t B = std::size_t(facts["batch_size"].value), H = std::size_t(facts["hidden_size"].value);
    std::size_t I = std::size_t(facts["input_size"].value), row = 0;
    bool padded = facts["padded"].value != 0, reverse = facts["reverse"].value != 0;
    Arrays out;
    for (const char *name : {"output", "h_n", "c_n"}) {
        if (!facts["expected"].has(name)) continue;
        std::size_t size = 1;
        for (const Json &n : facts["expected"][name]["shape"].items) size *= std::size_t(n.value);
        out[name].numbers.resize(size); // zeros: so is the padding
    }
    for (std::size_t b = 0; b < B; b++) {
        std::vector<Real> h(H), c(H);
        for (std::size_t j = 0; j < H; j++) { // no initial state in the file: zeros
            if (in.count("h_0")) h[j] = Real(in.at("h_0").numbers[b * H + j]);
            if (in.count("c_0")) c[j] = Real(in.at("c_0").numbers[b * H + j]);
        }
        std::size_t length = std::size_t(in.at("lengths").numbers[b]);
        for (std::size_t k = 0; k < length; k++) {
            std::size_t t = reverse ? length - 1 - k : k;
            std::size_t at = padded ? t * B + b : row + t; // (T, B, F), or (N, F)
            const double *x = &in.at("input").numbers[at * I];
            step<Real>(facts, in, std::vector<Real>(x, x + I), h, c);
            for (std::size_t j = 0; j < H; j++) out["output"].numbers[at * H + j] = double(h[j]);
        }
        row += length;
        for (std::size_t j = 0; j < H; j++) {
            out["h_n"].numbers[b * H + j] = double(h[j]);
            if (out.count("c_n")) out["c_n"].numbers[b * H + j] = double(c[j]);
        }
    }
    return out;
}

// Whether `step` and `forward` are written for this case.
bool is_plain(const Json &facts) {
    const std::string &name = facts["configuration"].text;
    for (const char *cell : {"rnn_tanh", "lstm", "gru_reset_after"}) {
        for (const char *biases : {"", "_one_bias", "_no_bias"}) {
            if (name == std::string(cell) + biases) return true;
        }
    }
    return false;
}

// --- the comparison -----------------------------------------------------------------------------

// How many numbers are out of tolerance; NaN always is.
int count_wrong(const Json &facts, const Arrays &in, const Arrays &got, const std::string &dtype) {
    int wrong = 0;
    for (const auto &[name, array] : got) {
        const std::vector<double> &expected = in.at(name).numbers;
        double tolerance = facts["expected"][name]["tolerance"][dtype].value, worst = 0;
        for (std::size_t i = 0; i < expected.size(); i++) {
            double error = std::abs(array.numbers.at(i) - expected[i]);
            if (!(error <= tolerance)) wrong++;
            if (!(error <= worst)) worst = error;
        }
        if (!(worst <= tolerance)) {
            std::cout << facts["name"].text << ": " << name << " is off by " << worst
                      << ", tolerance " << tolerance << "\n";
        }
    }
    return wrong;
}

int main(int argc, char **argv) {
    std::string root = argc > 1 ? argv[1] : ".", dtype = argc > 2 ? argv[2] : "float64";
    if (argc > 3 || (dtype != "float64" && dtype != "float32")) {
        std::cerr << "usage: read_vectors DIR [float32]\n";
        return 2;
    }
    int right = 0, wrong = 0, others = 0;
    try {
        std::string text = read_file(root + "/manifest.json");
        Json manifest = JsonParser(text).whole();
        if (manifest["format"].text != "refrnn-vectors" || manifest["format_version"].value != 1) {
            throw std::runtime_error("the manifest is of another format");
        }
        for (const Json &facts : manifest["cases"].items) {
            if (!is_plain(facts)) {
                others++;
                continue;
            }
            Arrays in = read_safetensors(root + "/" + facts["file"].text);
            Arrays got = dtype == "float32" ? forward<float>(facts, in) : forward<double>(facts, in);
            (count_wrong(facts, in, got, dtype) == 0 ? right : wrong)++;
        }
    } catch (const std::exception &error) {
        std::cerr << error.what() << "\n";
        return 2;
    }
    std::cout << right << " cases right, " << wrong << " wrong, " << others << " not tried\n";
    return wrong == 0 ? 0 : 1;
}
